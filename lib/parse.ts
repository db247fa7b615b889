import { fileURLToPath } from 'node:url';
import { OptionError, OptionRangeError } from './errors';

/** A size in bytes: a number, or a number with K, M, G or T (powers of 1024). */
export type Bytes = number | `${number}${'K' | 'M' | 'G' | 'T'}`;

const units: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

function wrongType(at: string, expected: string, value: unknown): OptionError {
  const received = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
  return new OptionError(at, `expected ${expected}, received ${received}`, 'ERR_INVALID_ARG_TYPE');
}

export function parseString(value: unknown, at: string): string {
  if (typeof value !== 'string') throw wrongType(at, 'a string', value);
  if (value.includes('\0')) throw new OptionError(at, 'contains a NUL byte');
  return value;
}

export function parseBoolean(value: unknown, at: string): boolean {
  if (typeof value !== 'boolean') throw wrongType(at, 'true or false', value);
  return value;
}

/** A whole number from `min` to `max`. */
export function parseInteger(value: unknown, at: string, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number') throw wrongType(at, 'a number', value);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new OptionRangeError(at, `expected a whole number from ${min} to ${max}, received ${value}`);
  }
  return value;
}

export function parseBytes(value: unknown, at: string, min = 1): number {
  if (typeof value === 'number') return parseInteger(value, at, min);
  if (typeof value !== 'string') throw wrongType(at, "a number of bytes or a string like '64M'", value);
  const match = /^(\d+(?:\.\d+)?)([KMGT])$/.exec(value);
  if (!match) throw new OptionError(at, `expected a number of bytes or a string like '64M', received '${value}'`);
  return parseInteger(Math.round(Number(match[1]) * (units[match[2] ?? ''] ?? 1)), at, min);
}

export function parseOneOf<const T extends string>(value: unknown, at: string, allowed: readonly T[]): T {
  if (typeof value !== 'string') throw wrongType(at, allowed.map((name) => `'${name}'`).join(' or '), value);
  const found = allowed.find((name) => name === value);
  if (found === undefined)
    throw new OptionError(at, `expected one of ${allowed.map((name) => `'${name}'`).join(', ')}, received '${value}'`);
  return found;
}

export function parseArray(value: unknown, at: string): readonly unknown[] {
  if (!Array.isArray(value)) throw wrongType(at, 'an array', value);
  return [...value];
}

/** A plain object whose keys are all among `known`. Each property is read once. */
export function parseObject<const K extends string>(value: unknown, at: string, known: readonly K[]): Partial<Record<K, unknown>> {
  const found = parseRecord(value, at);
  const stray = Object.keys(found).find((key) => !known.some((name) => name === key));
  if (stray !== undefined) {
    throw new OptionError(at ? `${at}.${stray}` : stray, `unknown option; known are ${known.join(', ')}`);
  }
  return found as Partial<Record<K, unknown>>;
}

/** A plain object with any keys; entries that are `undefined` are kept, each property is read once. */
export function parseRecord(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(at || 'options', 'an object', value);
  const copy: Record<string, unknown> = Object.create(null);
  // Inherited properties count: an option that is there must not be passed over.
  for (const key in value) copy[key] = (value as Record<string, unknown>)[key];
  return copy;
}

/** A path on the host: string or file URL, made absolute. */
export function parseHostPath(value: unknown, at: string): string {
  const path = value instanceof URL ? fromUrl(value, at) : parseString(value, at);
  if (!path.startsWith('/')) throw new OptionError(at, `expected an absolute path, received '${path}'`);
  return path;
}

function fromUrl(url: URL, at: string): string {
  try {
    return parseString(fileURLToPath(url), at);
  } catch {
    throw new OptionError(at, `expected a file: URL, received '${url.href}'`);
  }
}

/** An absolute path inside the sandbox, without `.` and `..`, without a trailing slash. */
export function parseTarget(value: unknown, at: string): string {
  const path = parseHostPath(value, at);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new OptionError(at, `'..' is not allowed, received '${path}'`);
  if (parts.some((part) => Buffer.byteLength(part) > 255)) throw new OptionError(at, 'a name in it is longer than 255 bytes');
  return `/${parts.join('/')}`;
}

/** Freezes plain data all the way down. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value) || ArrayBuffer.isView(value)) return value;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}
