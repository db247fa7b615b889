import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
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
  if (value.includes('\0')) throw new OptionError(at, 'must not contain a NUL byte');
  return value;
}

export function parseBoolean(value: unknown, at: string): boolean {
  if (typeof value !== 'boolean') throw wrongType(at, 'true or false', value);
  return value;
}

/** Returns `value` if it is a whole number from `min` to `max`. Throws an OptionError or OptionRangeError. */
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
  if (types.isProxy(value)) throw unreadable(at, 'a proxy', 'an array');
  if (!Array.isArray(value)) throw wrongType(at, 'an array', value);
  // Elements are read by index, and only own ones: neither a modified iterator nor a hole (which would read from the
  // prototype) can add anything.
  return Array.from({ length: value.length }, (_, index) => (Object.hasOwn(value, index) ? value[index] : undefined));
}

const unreadable = (at: string, what: string, hint = 'a plain object'): OptionError =>
  new OptionError(at || 'options', `expected ${hint}, received ${what}`, 'ERR_INVALID_ARG_TYPE');

const nativeCode = /\{\s*\[native code\]\s*\}$/;
const rootNames = Object.getOwnPropertyNames(Object.prototype);
const rootPrototypes = new WeakSet<object>([Object.prototype]);

// Recognizes the Object.prototype of this realm and of others (node:vm, jsdom), even if modified. The caller did not
// write the properties found there.
function isObjectPrototype(value: object): boolean {
  if (rootPrototypes.has(value)) return true;
  if (types.isProxy(value) || Object.getPrototypeOf(value) !== null) return false;
  const methods = rootNames.map((name) => Object.getOwnPropertyDescriptor(value, name)?.value);
  if (!methods.some((method) => typeof method === 'function' && nativeCode.test(Function.prototype.toString.call(method)))) return false;
  rootPrototypes.add(value);
  return true;
}

/**
 * Returns the object and its prototypes, nearest first, without Object.prototype. Throws an OptionError for a proxy,
 * which cannot be read reliably.
 */
function chainOf(value: object, at: string): readonly object[] {
  const chain: object[] = [];
  for (let object: object | null = value; object !== null; object = Object.getPrototypeOf(object)) {
    if (types.isProxy(object)) throw unreadable(at, object === value ? 'a proxy' : 'an object with a proxy as its prototype');
    if (object !== value && isObjectPrototype(object)) break;
    chain.push(object);
  }
  return chain;
}

/** Describes an object that is not accepted as a record, such as a Map; undefined for any other object. */
function kindOf(value: object): { readonly what: string; readonly hint?: string } | undefined {
  if (types.isMap(value)) return { what: 'a Map', hint: 'a plain object; use Object.fromEntries to convert a Map' };
  if (types.isSet(value)) return { what: 'a Set', hint: 'a plain object; use Object.fromEntries to convert its entries' };
  if (types.isDate(value)) return { what: 'a Date' };
  if (types.isRegExp(value)) return { what: 'a RegExp' };
  if (types.isPromise(value)) return { what: 'a Promise; await it first' };
  if (types.isBoxedPrimitive(value)) return { what: 'a boxed primitive' };
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return { what: 'bytes' };
  if (types.isNativeError(value)) return { what: 'an Error' };
  return types.isWeakMap(value) || types.isWeakSet(value) ? { what: 'a weak collection' } : undefined;
}

function checkRecord(value: unknown, at: string): asserts value is object {
  if (typeof value !== 'object' || value === null) throw wrongType(at || 'options', 'an object', value);
  if (types.isProxy(value)) throw unreadable(at, 'a proxy');
  if (Array.isArray(value)) throw wrongType(at || 'options', 'an object', value);
  const kind = kindOf(value);
  if (kind) throw unreadable(at, kind.what, kind.hint);
}

/**
 * Reads an object whose keys must all be among `known`. Each property is read once. Properties of a class (including
 * accessors) and of `Object.create(defaults)` count; those of Object.prototype do not. Throws an OptionError for an
 * unknown key or a proxy.
 */
export function parseObject<const K extends string>(value: unknown, at: string, known: readonly K[]): Partial<Record<K, unknown>> {
  checkRecord(value, at);
  const chain = chainOf(value, at);
  checkKnown(
    chain.flatMap((object) => Object.keys(object)),
    at,
    known,
  );
  const copy: Partial<Record<K, unknown>> = Object.create(null);
  for (const key of known)
    if (key in value && chain.some((object) => Object.hasOwn(object, key))) copy[key] = (value as Record<K, unknown>)[key];
  return copy;
}

/** Throws an OptionError for a key that is not known. */
export function checkKnown(keys: readonly string[], at: string, known: readonly string[]): void {
  const stray = keys.find((key) => !known.includes(key));
  if (stray === undefined) return;
  const near = known.find((name) => isNear(name, stray));
  throw new OptionError(
    at ? `${at}.${stray}` : stray,
    `unknown option; ${near === undefined ? '' : `did you mean '${near}'? `}known options: ${known.join(', ')}`,
  );
}

/** Returns whether two names differ only by case, or by one or two letters. Pure. */
function isNear(one: string, other: string): boolean {
  const [a, b] = [one.toLowerCase(), other.toLowerCase()];
  if (a === b) return true;
  if (Math.abs(a.length - b.length) > 2 || b.length < 4) return false;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return (row[b.length] ?? 0) <= 2;
}

const isEnumerable = Object.prototype.propertyIsEnumerable;

function hasGetter(object: object, key: string): boolean {
  const found = Object.getOwnPropertyDescriptor(object, key);
  return found !== undefined && Object.hasOwn(found, 'get') && found.get !== undefined;
}

/** Reads an object with any keys, in the same way as {@link parseObject}. Entries that are `undefined` are kept. */
export function parseRecord(value: unknown, at: string): Readonly<Record<string, unknown>> {
  checkRecord(value, at);
  const keys = new Set<string>();
  for (const object of chainOf(value, at))
    for (const key of Object.getOwnPropertyNames(object)) if (isEnumerable.call(object, key) || hasGetter(object, key)) keys.add(key);
  const copy: Record<string, unknown> = Object.create(null);
  for (const key of keys) copy[key] = (value as Record<string, unknown>)[key];
  return copy;
}

/** Returns whether a value is a Uint8Array, of this realm or of another one. */
export const isBytes = (value: unknown): value is Uint8Array => types.isUint8Array(value);

/** Returns whether a value is a URL, of this realm or of another one. */
export const isUrl = (value: unknown): value is URL =>
  value instanceof URL || (typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object URL]');

/** Returns `value` if it is an AbortSignal or an object with the same interface. Throws an OptionError. */
export function parseSignal(value: unknown): AbortSignal {
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>;
  if (typeof aborted === 'boolean' && typeof addEventListener === 'function') return value as AbortSignal;
  throw new OptionError('signal', 'expected an AbortSignal', 'ERR_INVALID_ARG_TYPE');
}

/** Parses an absolute path on the host, given as a string or a file URL. Throws an OptionError. */
export function parseHostPath(value: unknown, at: string): string {
  const path = isUrl(value) ? fromUrl(value, at) : parseString(value, at);
  if (!path.startsWith('/')) throw new OptionError(at, `expected an absolute path, received '${path}'`);
  return path;
}

function fromUrl(url: URL, at: string): string {
  return parseString(toPath(url, at), at);
}

function toPath(url: URL, at: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    throw new OptionError(at, `expected a file: URL, received '${url.href}'`);
  }
}

/**
 * Parses an absolute path inside the sandbox and normalizes it: without `.` and without a trailing slash. Throws an
 * OptionError, also for `..`.
 */
export function parseTarget(value: unknown, at: string): string {
  const path = parseHostPath(value, at);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new OptionError(at, `'..' is not allowed, received '${path}'`);
  if (parts.some((part) => Buffer.byteLength(part) > 255)) throw new OptionError(at, 'a path component is longer than 255 bytes');
  return `/${parts.join('/')}`;
}

const frozen = new WeakSet<object>();

/**
 * Freezes plain data recursively and removes Object.prototype from it, so that a missing key reads as undefined
 * whatever other code has added to Object.prototype. An object that is frozen already keeps its prototype.
 */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || frozen.has(value) || ArrayBuffer.isView(value)) return value;
  frozen.add(value);
  if (!Object.isFrozen(value)) Object.freeze(bare(value));
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}

/**
 * Removes the prototype of a plain object and returns the same object, not frozen. Returns any other value unchanged.
 */
export function bare<T>(value: T): T {
  if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype) Object.setPrototypeOf(value, null);
  return value;
}
