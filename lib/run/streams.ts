import { Socket } from 'node:net';
import { setImmediate, setTimeout } from 'node:timers';
import type { Program } from '../features/feature';
import { stdioKind } from '../native/addon';
import { PtyStream } from './pty';

type ProgramStream = Socket | PtyStream;

/** Lets a stream reach its end, whether or not the caller reads it. */
function readOn(stream: ProgramStream): void {
  if (stream.listenerCount('readable') > 0) takeIn(stream);
  else stream.resume();
}

/** More than a pipe can hold, pipe(7). If more arrives, other processes are still writing. */
const maxRest = 2 * 2 ** 20;

/** Streams whose remaining data is read ahead, with the function that ends each. */
const taking = new WeakMap<ProgramStream, () => void>();

/**
 * Reads the rest of a pipe into the stream, even beyond its highWaterMark. A `readable` listener or an asynchronous
 * iterator may read it later: its unread data must not be lost, and must not keep the promise from settling.
 */
function takeIn(stream: ProgramStream): void {
  if (taking.has(stream)) return;
  const push = stream.push.bind(stream);
  let isOver = stream.readableEnded || stream.destroyed;
  let size = 0;
  const more = () => {
    if (!isOver && !stream.destroyed) stream._read(stream.readableHighWaterMark);
  };
  stream.push = (chunk: Buffer | null, encoding) => {
    if (isOver) return false;
    isOver = chunk === null;
    const hasRoom = push(chunk, encoding);
    size += chunk?.length ?? 0;
    if (size > maxRest) stream.push(null);
    else if (!hasRoom) setImmediate(more);
    return hasRoom;
  };
  taking.set(stream, () => void stream.push(null));
  more();
}

// The reader must see the end of the stream, not a premature close.
function finish(stream: ProgramStream): void {
  const end = taking.get(stream);
  if (end) end();
  else stream.destroy();
}

/** This process's side of a program's descriptors. */
export class ProgramStreams {
  /**
   * The streams by descriptor number; null if the program's descriptor is not connected to this process. With a
   * terminal, 0 and 1 are the same stream.
   */
  readonly list: readonly (ProgramStream | null)[];
  readonly pty: PtyStream | undefined;

  constructor(
    ours: readonly number[],
    private readonly stdio: Program['stdio'],
  ) {
    this.pty = stdio.includes('pty') ? new PtyStream() : undefined;
    this.list = ours.map((fd, number) => this.open(fd, number));
  }

  ref(on: boolean): void {
    for (const stream of this.list) on ? stream?.ref() : stream?.unref();
  }

  /**
   * Ends the streams once nothing has arrived for `idleMs`. The program has exited, but other processes may hold them
   * open.
   */
  drain(idleMs: number): void {
    const open = () => this.list.filter((stream) => stream !== null && !stream.destroyed);
    const read = () => this.list.reduce((sum, stream) => sum + (stream?.bytesRead ?? 0), 0);
    let before = read();
    const look = () => {
      const isBehind = open().some((stream) => (stream?.readableLength ?? 0) > 0 && !taking.has(stream as ProgramStream));
      if (!isBehind && read() === before) {
        for (const stream of open()) finish(stream as ProgramStream);
        return;
      }
      before = read();
      wait();
    };
    // After a blocked event loop, the timer fires before pending data is read. setImmediate lets that data be read
    // first.
    const wait = () => {
      if (open().length > 0) setTimeout(() => setImmediate(look), idleMs);
    };
    wait();
  }

  /**
   * Called when all writers are gone. The program's inputs, and all streams if no program has run, are destroyed, as no
   * data can come or be read any more. Outputs that are collected, and those above descriptor 2, are read to their end
   * even if nobody listens.
   */
  release(hasRun: boolean, isCollected: boolean): void {
    for (const [number, stream] of this.list.entries()) {
      const isUnused = !hasRun || this.stdio[number] === stdioKind.readPipe;
      if (isUnused) stream?.destroy();
      else if (stream && (isCollected || number > 2)) readOn(stream);
    }
  }

  private open(fd: number, number: number): ProgramStream | null {
    const entry = this.stdio[number];
    if (entry === 'pty') return number < 2 ? (this.pty ?? null) : null;
    if (fd < 0) return null;
    const stream = new Socket({ fd, readable: entry !== stdioKind.readPipe, writable: entry !== stdioKind.writePipe });
    // The error is ignored: a program that ends without reading its input is not an error of the caller.
    stream.on('error', () => stream.destroy());
    return stream;
  }
}
