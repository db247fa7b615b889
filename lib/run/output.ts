import type { Readable } from 'node:stream';
import { OptionError } from '../base/errors';
import { isBytes } from '../base/parse';
import type { ParsedOptions } from '../options/options';

/** Yields the chunks of `source`. Throws an OptionError for a chunk that is neither a string nor a Uint8Array. */
export async function* checkedInput(source: AsyncIterable<unknown>): AsyncGenerator<string | Uint8Array> {
  for await (const chunk of source) {
    if (typeof chunk !== 'string' && !isBytes(chunk))
      throw new OptionError('input', 'the stream must yield strings or Uint8Arrays', 'ERR_INVALID_ARG_TYPE');
    yield chunk;
  }
}

/** Collects a stream up to a maximum number of bytes. */
export class Output {
  private readonly chunks: Buffer[] = [];
  private size = 0;

  constructor(
    private readonly max: number,
    private readonly onOverflow: () => void,
  ) {}

  /** Collects a stream. `onEnd` is called when all data has arrived, even if nobody has read it yet. */
  attach(stream: Readable, onEnd: () => void): void {
    // Chunks are taken before they are decoded: an encoding that the caller sets on the stream must not affect the
    // result.
    const push = stream.push.bind(stream);
    stream.push = (chunk: Buffer | null, encoding) => {
      if (chunk) this.add(chunk);
      const hasRoom = push(chunk, encoding);
      if (chunk === null) onEnd();
      return hasRoom;
    };
    stream.on('data', () => {});
  }

  /** Adds a chunk, as far as it fits. */
  add(chunk: Buffer): void {
    const room = this.max - this.size;
    if (room > 0) this.chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.size += chunk.length;
    if (this.size > this.max) this.onOverflow();
  }

  /** Returns the collected bytes. If text was cut off, an incomplete character at its end is removed. */
  bytes(isText: boolean): Buffer {
    const bytes = Buffer.concat(this.chunks);
    return isText && this.size > this.max ? bytes.subarray(0, endOfText(bytes)) : bytes;
  }
}

const continues = (byte: number): boolean => (byte & 0xc0) === 0x80;

// Returns the offset after the last complete UTF-8 character.
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

/** Returns the collected output in the requested encoding, without its final newline if requested. */
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

/** Converts a chunk to bytes. It is a string if the caller has set an encoding. */
const bytesOf = (chunk: Uint8Array | string, { readableEncoding }: Pick<Readable, 'readableEncoding'>): Buffer =>
  typeof chunk === 'string' ? Buffer.from(chunk, readableEncoding ?? 'utf8') : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);

/**
 * Yields the lines of a stream without their line breaks; the last line may lack one. If the data of an incomplete line
 * exceeds `maxLine` bytes, calls `onOverflow` and ends.
 */
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
