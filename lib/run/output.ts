import type { Readable } from 'node:stream';
import { OptionError } from '../base/errors';
import { isBytes } from '../base/parse';
import type { ParsedOptions } from '../options/options';

/** Passes on what can be written to a pipe; anything else is the caller's mistake. */
export async function* checkedInput(source: AsyncIterable<unknown>): AsyncGenerator<string | Uint8Array> {
  for await (const chunk of source) {
    if (typeof chunk !== 'string' && !isBytes(chunk))
      throw new OptionError('input', 'the stream yields neither strings nor bytes', 'ERR_INVALID_ARG_TYPE');
    yield chunk;
  }
}

/** Collects a stream up to a number of bytes. */
export class Output {
  private readonly chunks: Buffer[] = [];
  private size = 0;

  constructor(
    private readonly max: number,
    private readonly onOverflow: () => void,
  ) {}

  /** `onEnd`: everything has come in, though nobody may have read it yet. */
  attach(stream: Readable, onEnd: () => void): void {
    // As they come in: an encoding that the caller sets for itself is not the result's.
    const push = stream.push.bind(stream);
    stream.push = (chunk: Buffer | null, encoding) => {
      if (chunk) this.add(chunk);
      const hasRoom = push(chunk, encoding);
      if (chunk === null) onEnd();
      return hasRoom;
    };
    stream.on('data', () => {});
  }

  /** Keeps what fits. */
  add(chunk: Buffer): void {
    const room = this.max - this.size;
    if (room > 0) this.chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.size += chunk.length;
    if (this.size > this.max) this.onOverflow();
  }

  /** What was kept; of text no part of a character at its end, where something was cut off. */
  bytes(isText: boolean): Buffer {
    const bytes = Buffer.concat(this.chunks);
    return isText && this.size > this.max ? bytes.subarray(0, endOfText(bytes)) : bytes;
  }
}

const continues = (byte: number): boolean => (byte & 0xc0) === 0x80;

// Where the last character of UTF-8 ends that is whole.
function endOfText(bytes: Uint8Array): number {
  const longest = 4;
  for (let start = bytes.length - 1; start >= 0 && start >= bytes.length - longest; start--) {
    const first = bytes[start] ?? 0;
    if (continues(first)) continue;
    const size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    return start + size > bytes.length ? start : bytes.length;
  }
  return bytes.length;
}

/** What was collected, as the caller wants it. */
export function finish(
  output: Output,
  { encoding, stripFinalNewline }: Pick<ParsedOptions, 'encoding' | 'stripFinalNewline'>,
): string | Buffer {
  const bytes = output.bytes(encoding === 'utf8');
  if (encoding === 'buffer') return bytes;
  const newline = 0x0a;
  const carriageReturn = 0x0d;
  let end = bytes.length;
  if (stripFinalNewline && bytes[end - 1] === newline) end -= bytes[end - 2] === carriageReturn ? 2 : 1;
  return bytes.toString('utf8', 0, end);
}

/** What a stream gives as bytes; a caller may have set its encoding. */
const bytesOf = (chunk: Uint8Array | string, { readableEncoding }: Pick<Readable, 'readableEncoding'>): Buffer =>
  typeof chunk === 'string' ? Buffer.from(chunk, readableEncoding ?? 'utf8') : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);

/** The lines of a stream, without their line breaks; the last one may lack one. */
export async function* lines(stream: Readable, maxLine: number, onOverflow: () => void): AsyncGenerator<string> {
  const newline = 0x0a;
  let rest: Buffer[] = [];
  let size = 0;
  for await (const data of stream) {
    const chunk = bytesOf(data as Buffer | string, stream);
    let from = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      yield text([...rest, chunk.subarray(from, end)]);
      rest = [];
      size = 0;
      from = end + 1;
    }
    rest.push(chunk.subarray(from));
    size += chunk.length - from;
    if (size > maxLine) {
      onOverflow();
      return;
    }
  }
  if (size > 0) yield text(rest);
}

function text(parts: readonly Buffer[]): string {
  const line = Buffer.concat(parts).toString('utf8');
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
