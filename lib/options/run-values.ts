import buffer from 'node:buffer';
import type { Readable } from 'node:stream';
import { OptionError, OptionRangeError } from '../base/errors';
import { isBytes, parseBytes, parseInteger, parseObject } from '../base/parse';

/** Size in characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

// Text never has more characters than bytes, so this limit also keeps a string within the maximum length of a string.
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

// Accepts streams of any realm, and of libraries that behave like node:stream.
function isStream(value: unknown): value is Readable {
  if (typeof value !== 'object' || value === null) return false;
  const { pipe, [Symbol.asyncIterator]: iterator } = value as Partial<Readable>;
  return typeof pipe === 'function' && typeof iterator === 'function';
}

export function parseInput(value: unknown): string | Uint8Array | Readable {
  if (typeof value === 'string' || isBytes(value) || isStream(value)) return value;
  throw new OptionError('input', 'expected a string, a Uint8Array or a Readable', 'ERR_INVALID_ARG_TYPE');
}
