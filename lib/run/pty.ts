import { readSync, writeSync } from 'node:fs';
import { Duplex } from 'node:stream';
import { type NativeWatch, native } from '../native/addon';
import type { TerminalSize } from '../options/run-values';
import { call, ioctl } from '../sys/call';
import { close, dup } from '../sys/file';

const setWindowSize = 0x5414; // TIOCSWINSZ
const setFlags = 4; // F_SETFL
const nonBlocking = 0o4000;
const readable = 1;
const writable = 2;
const chunkSize = 65_536;
const newline = 0x0a;
const endOfTransmission = '\x04';

type Done = (error?: Error | null) => void;

/**
 * This process's side of a program's terminal. Reading returns the program's output; written data is terminal input.
 * The stream exists before the terminal does, and holds data that is written early until then. It ends when no process
 * has the terminal open any more.
 *
 * Not a tty.ReadStream: its writes block until all data is taken, so a program that does not read would block this
 * process.
 */
export class PtyStream extends Duplex {
  /** Bytes that have been read from the terminal. */
  bytesRead = 0;
  private master: number | undefined;
  private reading: NativeWatch | undefined;
  private writing: { readonly fd: number; readonly watch: NativeWatch } | undefined;
  private size: TerminalSize | undefined;
  private isHeld = true;
  private isOver = false;
  private early: (() => void) | undefined;
  private lastTyped: number = newline;

  /** Takes over the descriptor of the terminal's master side. */
  attach(fd: number): void {
    call('fcntl', fd, setFlags, nonBlocking);
    this.master = fd;
    if (this.destroyed) {
      this.shut();
      return;
    }
    if (this.size) this.resize(this.size);
    this.watchReads();
    this.early?.();
    this.early = undefined;
  }

  /** Sets the size of the terminal. The program receives SIGWINCH. */
  resize(size: TerminalSize): void {
    this.size = size;
    if (this.master !== undefined) ioctl(this.master, setWindowSize, 'TIOCSWINSZ', Uint16Array.from([size.rows, size.columns, 0, 0]));
  }

  ref(on = true): this {
    this.isHeld = on;
    for (const watch of [this.reading, this.writing?.watch]) if (watch) native().refWatch(watch, on ? 1 : 0);
    return this;
  }

  unref(): this {
    return this.ref(false);
  }

  override _read(): void {
    if (this.master !== undefined && !this.reading && !this.isOver) this.watchReads();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.lastTyped = chunk.at(-1) ?? this.lastTyped;
    this.type(chunk, done);
  }

  // Ends the input with Ctrl-D, as from a keyboard. In the middle of a line, the first Ctrl-D only submits the line.
  override _final(done: Done): void {
    this.type(Buffer.from(this.lastTyped === newline ? endOfTransmission : endOfTransmission.repeat(2)), done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.shut();
    this.early?.();
    this.early = undefined;
    done(error);
  }

  private watchReads(): void {
    if (this.master === undefined) return;
    this.reading = this.watch(this.master, readable, () => this.readSome());
  }

  private watch(fd: number, events: number, act: () => void): NativeWatch | undefined {
    const watch = native().watchFd(fd, events, act);
    if (typeof watch === 'number') return undefined;
    native().refWatch(watch, this.isHeld ? 1 : 0);
    return watch;
  }

  private readSome(): void {
    const chunk = Buffer.allocUnsafe(chunkSize);
    const size = attempt(() => readSync(this.master ?? -1, chunk));
    if (size === undefined) return;
    if (size <= 0) {
      this.finish();
      return;
    }
    this.bytesRead += size;
    if (!this.push(chunk.subarray(0, size))) this.stopReading();
  }

  private type(chunk: Buffer, done: Done): void {
    if (this.isOver || this.destroyed) {
      done();
      return;
    }
    if (this.master === undefined) {
      this.early = () => this.type(chunk, done);
      return;
    }
    const size = attempt(() => writeSync(this.master ?? -1, chunk)) ?? 0;
    if (size < 0 || size === chunk.length) done();
    else this.whenWritable(() => this.type(chunk.subarray(size), done));
  }

  // A descriptor can have only one watch, so writing uses a duplicate.
  private whenWritable(act: () => void): void {
    const fd = dup(this.master ?? -1);
    const watch = this.watch(fd, writable, () => {
      this.stopWriting();
      act();
    });
    if (watch) this.writing = { fd, watch };
    else close(fd);
  }

  private stopReading(): void {
    if (this.reading) native().unwatchFd(this.reading);
    this.reading = undefined;
  }

  private stopWriting(): void {
    if (!this.writing) return;
    native().unwatchFd(this.writing.watch);
    close(this.writing.fd);
    this.writing = undefined;
  }

  private finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.stopReading();
    this.push(null);
    // If nobody reads, the stream must be resumed, or its end would not be noticed.
    if (this.readableFlowing === null) this.resume();
    this.once('end', () => this.destroy());
  }

  private shut(): void {
    this.isOver = true;
    this.stopReading();
    this.stopWriting();
    if (this.master !== undefined) close(this.master);
    this.master = undefined;
  }
}

/**
 * Returns the number of bytes transferred; undefined if the call would block; a negative number at the end, which Linux
 * reports as EIO.
 */
function attempt(act: () => number): number | undefined {
  try {
    return act();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? undefined : -1;
  }
}
