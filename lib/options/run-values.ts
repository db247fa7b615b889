import buffer from 'node:buffer';
import type { Readable } from 'node:stream';
import { OptionError, OptionRangeError } from '../base/errors';
import { isBytes, parseBytes, parseInteger, parseObject } from '../base/parse';

/** Size in characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

// A string of so many bytes or fewer has never more characters than a string can have.
export function parseMaxBuffer(value: unknown, encoding: 'utf8' | 'buffer', at = 'maxBuffer'): number {
  const bytes = parseBytes(value, at, 0);
  const most = encoding === 'utf8' ? buffer.constants.MAX_STRING_LENGTH : buffer.constants.MAX_LENGTH;
  if (bytes <= most) return bytes;
  const hint =
    encoding === 'utf8' ? "; encoding: 'buffer' can hold more, and buffer: false streams any amount" : '; buffer: false streams any amount';
  throw new OptionRangeError(at, `expected at most ${most} bytes, received ${bytes}${hint}`);
}

export function parseMaxMessage(value: unknown, hasChannel: boolean): number {
  if (!hasChannel) throw new OptionError('maxMessage', "needs ipc: 'json'");
  return parseMaxBuffer(value, 'utf8', 'maxMessage');
}

export function parseSize(value: unknown): TerminalSize {
  const { columns = 80, rows = 24 } = parseObject(value ?? {}, 'tty', ['columns', 'rows']);
  return { columns: parseInteger(columns, 'tty.columns', 0, 65_535), rows: parseInteger(rows, 'tty.rows', 0, 65_535) };
}

// Of any realm, or of a library that does as node:stream.
function isStream(value: unknown): value is Readable {
  if (typeof value !== 'object' || value === null) return false;
  const { pipe, [Symbol.asyncIterator]: iterator } = value as Partial<Readable>;
  return typeof pipe === 'function' && typeof iterator === 'function';
}

export function parseInput(value: unknown): string | Uint8Array | Readable {
  if (typeof value === 'string' || isBytes(value) || isStream(value)) return value;
  throw new OptionError('input', 'expected a string, a Uint8Array or a Readable', 'ERR_INVALID_ARG_TYPE');
}
