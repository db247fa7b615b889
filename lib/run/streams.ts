import { Socket } from 'node:net';
import { setImmediate, setTimeout } from 'node:timers';
import type { Program } from '../features/feature';
import { stdioKind } from '../native/addon';
import { PtyStream } from './pty';

type ProgramStream = Socket | PtyStream;

/** Lets a stream come to its end, whether or not the caller reads it. */
function readOn(stream: ProgramStream): void {
  if (stream.listenerCount('readable') > 0) takeIn(stream);
  else stream.resume();
}

/** More than a pipe holds, pipe(7): beyond that other processes still write. */
const maxRest = 2 * 2 ** 20;

/** Streams whose rest is read ahead, and the function that ends each. */
const taking = new WeakMap<ProgramStream, () => void>();

/**
 * Reads the rest of a pipe into the stream, even beyond its highWaterMark. A `readable` listener, or an asynchronous iterator, reads it when it
 * wants to; data that it has not read yet must not be taken from it, and must not keep the promise from settling.
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

// A reader must see the end of the stream, not a premature close.
function finish(stream: ProgramStream): void {
  const end = taking.get(stream);
  if (end) end();
  else stream.destroy();
}

/** This side of a program's descriptors. */
export class ProgramStreams {
  /** By descriptor number; null where the program's is not connected to this process. With a terminal 0 and 1 are one stream. */
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

  /** The program has ended, but others may hold its streams open: they end once nothing has come for so long. */
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
    // Where the loop was busy the timer comes before what can be read meanwhile: that is read first, then looked at.
    const wait = () => {
      if (open().length > 0) setTimeout(() => setImmediate(look), idleMs);
    };
    wait();
  }

  /**
   * All that wrote is gone. Without a program nothing comes out. Nobody reads any more what goes in; what comes out and nobody
   * listens to must still reach its end.
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
    // A program that ends without reading its input is no error of the caller's.
    stream.on('error', () => stream.destroy());
    return stream;
  }
}
