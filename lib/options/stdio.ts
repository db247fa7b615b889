import { fstatSync, type Stats } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { OptionError } from '../base/errors';
import { parseArray, parseBoolean, parseInteger, parseObject } from '../base/parse';
import { stdioKind } from '../native/addon';

/**
 * One descriptor of the program: a new pipe to this process, the same descriptor of this process, /dev/null, or a
 * descriptor or stream of this process. A socket must be declared as one, because it can carry descriptors in both
 * directions.
 *
 * From descriptor 3 on, `'pipe'` is a socket pair for both directions, as in child_process. Descriptors that the
 * program sends over it are closed. `'readable'` and `'writable'` are one-way pipes, which this process reads or
 * writes.
 *
 * A pipe or terminal of this process is opened again for the program, which would otherwise get EAGAIN because Node
 * sets O_NONBLOCK on this process's descriptor. For a socket, the flag is cleared until the program has ended.
 */
export type StdioEntry =
  | 'pipe'
  | 'readable'
  | 'writable'
  | 'inherit'
  | 'ignore'
  | Readable
  | Writable
  | number
  | { readonly fd: number; readonly socket?: boolean };

/**
 * As in child_process: one value for descriptors 0 to 2, or a list by descriptor number. Default:
 * `['ignore', 'pipe', 'pipe']`. `'pty'`: all three are a terminal that belongs to the program only; `stdin` and
 * `stdout` of this side are then the same stream (pty(7)).
 */
export type StdioOption = 'pipe' | 'inherit' | 'ignore' | 'pty' | readonly (StdioEntry | null | undefined)[];

/** A parsed entry, as passed to the launcher. */
export type ParsedStdio = 'ignore' | 'pty' | { readonly pass: number };

const defaults = ['ignore', 'pipe', 'pipe'] as const;
const maxDescriptors = 32;

/** Parses the option. `hasInput` makes descriptor 0 a pipe. */
export function parseStdio(value: unknown, hasInput: boolean): readonly ParsedStdio[] {
  if (value === 'pty') return ['pty', 'pty', 'pty'];
  const list = typeof value === 'string' || value === undefined ? [value, value, value] : parseArray(value, 'stdio');
  if (list.length > maxDescriptors) throw new OptionError('stdio', `at most ${maxDescriptors} descriptors`);
  const length = Math.max(list.length, defaults.length);
  return Array.from({ length }, (_, number) => {
    const fallback = number === 0 && hasInput ? 'pipe' : (defaults[number] ?? 'ignore');
    const entry = parseEntry(list[number] ?? fallback, number, `stdio[${number}]`);
    if (number === 0 && hasInput && (typeof entry === 'string' || entry.pass !== stdioKind.readPipe))
      throw new OptionError('input', "needs stdio[0] to be 'pipe'");
    return entry;
  });
}

function parseEntry(value: unknown, number: number, at: string): ParsedStdio {
  switch (value) {
    case 'ignore':
      return 'ignore';
    case 'pipe':
      if (number > 2) return { pass: stdioKind.socketPair };
      return { pass: number === 0 ? stdioKind.readPipe : stdioKind.writePipe };
    case 'readable':
      return { pass: stdioKind.writePipe };
    case 'writable':
      return { pass: stdioKind.readPipe };
    case 'inherit':
      // Descriptors 0 to 2 of the caller may be sockets, as in every child of child_process. `'inherit'` is explicit
      // enough.
      return { pass: number > 2 ? plainFile(number, at) : number };
  }
  if (typeof value === 'number') return { pass: plainFile(parseInteger(value, at, 0, 2 ** 31 - 1), at) };
  if (typeof value !== 'object' || value === null) {
    throw new OptionError(
      at,
      "expected 'pipe', 'readable', 'writable', 'inherit', 'ignore', a stream or a descriptor",
      'ERR_INVALID_ARG_TYPE',
    );
  }
  const stream = streamFd(value);
  if (stream !== undefined) return { pass: plainFile(stream, at) };
  const { fd, socket = false } = parseObject(value, at, ['fd', 'socket']);
  const given = parseInteger(fd, `${at}.fd`, 0, 2 ** 31 - 1);
  return { pass: parseBoolean(socket, `${at}.socket`) ? given : plainFile(given, at) };
}

function streamFd(value: object): number | undefined {
  if (!('pipe' in value || 'write' in value)) return undefined;
  const { fd, _handle: handle } = value as { fd?: unknown; _handle?: { fd?: unknown } };
  const found = typeof fd === 'number' ? fd : handle?.fd;
  return typeof found === 'number' && found >= 0 ? found : undefined;
}

function plainFile(fd: number, at: string): number {
  let found: Stats;
  try {
    found = fstatSync(fd);
  } catch {
    throw new OptionError(at, `descriptor ${fd} is not open`);
  }
  if (found.isDirectory())
    throw new OptionError(at, `descriptor ${fd} is a directory, through which the program could reach the host; use a bind mount`);
  if (found.isSocket()) throw new OptionError(at, `descriptor ${fd} is a socket; write {fd: ${fd}, socket: true} to pass it anyway`);
  return fd;
}
