import type { Readable } from 'node:stream';
import { OptionError } from '../errors';

/** Passes on what can be written to a pipe; anything else is the caller's mistake. */
export async function* checkedInput(source: AsyncIterable<unknown>): AsyncGenerator<string | Uint8Array> {
  for await (const chunk of source) {
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array))
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

  attach(stream: Readable): void {
    stream.on('data', (chunk: Buffer) => this.add(chunk));
  }

  /** Keeps what fits. */
  add(chunk: Buffer): void {
    const room = this.max - this.size;
    if (room > 0) this.chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.size += chunk.length;
    if (this.size > this.max) this.onOverflow();
  }

  bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

/** The collected bytes as the caller wants them. */
export function finish(bytes: Buffer, encoding: 'utf8' | 'buffer', stripFinalNewline: boolean): string | Buffer {
  const newline = 0x0a;
  const carriageReturn = 0x0d;
  let end = bytes.length;
  if (stripFinalNewline && bytes[end - 1] === newline) end -= bytes[end - 2] === carriageReturn ? 2 : 1;
  const kept = bytes.subarray(0, end);
  return encoding === 'buffer' ? kept : kept.toString('utf8');
}

/** The lines of a stream, without their line breaks; the last one may lack one. */
export async function* lines(stream: Readable, maxLine: number, onOverflow: () => void): AsyncGenerator<string> {
  const newline = 0x0a;
  let rest: Buffer[] = [];
  let size = 0;
  for await (const data of stream) {
    const chunk = data as Buffer;
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
