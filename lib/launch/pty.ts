import { Duplex } from 'node:stream';
import { ReadStream } from 'node:tty';
import { native } from '../native';
import { type Arch, archTables } from '../seccomp/tables';

/** Size in characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

const setWindowSize = 0x5414; // TIOCSWINSZ
const endOfTransmission = '\x04';

/**
 * This side of a program's terminal: what it writes can be read, what is written here is typed. It is there before the
 * terminal is; what comes early waits. Ends when nothing has the terminal open any more.
 */
export class PtyStream extends Duplex {
  /** Bytes that have been read from the terminal. */
  bytesRead = 0;
  private master: ReadStream | undefined;
  private size: TerminalSize | undefined;
  private isHeld = true;
  private waiting: (() => void) | undefined;

  constructor() {
    super({ allowHalfOpen: true, decodeStrings: true });
  }

  /** Takes over the master's descriptor. */
  attach(fd: number): void {
    const master = new ReadStream(fd);
    this.master = master;
    if (this.size) this.resize(this.size);
    master.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      if (!this.push(chunk)) master.pause();
    });
    // EIO is how Linux says that the other end is closed everywhere.
    master.on('error', () => this.finish());
    master.on('close', () => this.finish());
    master.on('end', () => this.finish());
    this.ref(this.isHeld);
    this.waiting?.();
    this.waiting = undefined;
  }

  /** The program gets SIGWINCH. */
  resize(size: TerminalSize): void {
    this.size = size;
    const fd = (this.master as { _handle?: { fd?: number } } | undefined)?._handle?.fd;
    if (fd === undefined || fd < 0) return;
    native().syscall(
      archTables[process.arch as Arch].numbers.ioctl ?? -1,
      fd,
      setWindowSize,
      Uint16Array.from([size.rows, size.columns, 0, 0]),
    );
  }

  ref(on = true): this {
    this.isHeld = on;
    if (on) this.master?.ref();
    else this.master?.unref();
    return this;
  }

  unref(): this {
    return this.ref(false);
  }

  override _read(): void {
    this.master?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.whenAttached((master) => master.write(chunk, () => done()), done);
  }

  // The end of what is typed: Ctrl-D, as from a keyboard.
  override _final(done: (error?: Error | null) => void): void {
    this.whenAttached((master) => master.write(endOfTransmission, () => done()), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.master?.destroy();
    this.waiting?.();
    this.waiting = undefined;
    done(error);
  }

  private whenAttached(act: (master: ReadStream) => void, otherwise: () => void): void {
    const { master } = this;
    if (master && !master.destroyed) act(master);
    else if (this.destroyed || master) otherwise();
    else this.waiting = () => this.whenAttached(act, otherwise);
  }

  private finish(): void {
    if (this.readableEnded || this.destroyed) return;
    this.push(null);
    // Nobody may be reading: without that the end would not be seen.
    if (this.readableFlowing === null) this.resume();
    this.once('end', () => this.destroy());
  }
}
