import type { Readable } from 'node:stream';

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
export async function* lines(stream: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    rest += decoder.decode(chunk as Buffer, { stream: true });
    const parts = rest.split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) yield line.endsWith('\r') ? line.slice(0, -1) : line;
  }
  rest += decoder.decode();
  if (rest !== '') yield rest;
}
