import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers';
import { monotonic } from '../base/clock';
import { NsError } from '../base/errors';

// How long messages are handled without a pause, before the event loop can run other work of this process.
const turnMs = 5;
const newline = 0x0a;

/**
 * The JSON channel of child_process.fork, with one message per line. Node's internal messages (`cmd: 'NODE_…'`, which
 * pass sockets) are dropped.
 */
export class JsonChannel {
  private rest: Buffer[] = [];
  private size = 0;
  /** Received data that has not been handled yet. */
  private waiting: Buffer | undefined;
  private isOver = false;

  constructor(
    private readonly stream: Socket,
    /**
     * Maximum size of a message in bytes. The program controls the size, so a longer message ends the sandbox instead
     * of filling the memory of this process.
     */
    private readonly maxMessage: number,
    private readonly onMessage: (message: unknown) => void,
    private readonly onOverflow: () => void,
  ) {
    stream.on('data', (chunk: Buffer) => {
      const isBehind = this.waiting !== undefined;
      this.waiting = this.waiting ? Buffer.concat([this.waiting, chunk]) : chunk;
      if (!isBehind) this.handle();
    });
    stream.unref();
  }

  /** Sends a message. Resolves when it has been passed to the kernel. */
  send(message: unknown): Promise<void> {
    const text = JSON.stringify(message);
    if (text === undefined) return Promise.reject(new NsError('ERR_NSJS_IPC', 'the message cannot be converted to JSON'));
    return new Promise((resolve, reject) => {
      this.stream.write(`${text}\n`, (error) => {
        if (error) reject(new NsError('ERR_NSJS_IPC', 'the program closed the channel', { cause: error }));
        else resolve();
      });
    });
  }

  // Handles messages for a few ms, then pauses the stream until a later turn of the event loop. During the pause the
  // program's writes block.
  private handle(): void {
    const chunk = this.waiting ?? Buffer.alloc(0);
    const end = monotonic() + turnMs;
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0 && !this.isOver; at = chunk.indexOf(newline, from)) {
      this.collect(chunk.subarray(from, at));
      from = at + 1;
      if (this.isOver) break;
      const line = Buffer.concat(this.rest.splice(0));
      this.size = 0;
      this.waiting = chunk.subarray(from);
      let isDone = false;
      try {
        this.deliver(line);
        isDone = monotonic() < end;
      } finally {
        // Also if a listener throws.
        if (!isDone) this.later();
      }
      if (!isDone) return;
    }
    if (!this.isOver) this.collect(chunk.subarray(from));
    this.waiting = undefined;
    this.stream.resume();
  }

  private later(): void {
    this.stream.pause();
    setImmediate(() => this.handle());
  }

  private collect(part: Buffer): void {
    this.rest.push(part);
    this.size += part.length;
    if (this.size <= this.maxMessage) return;
    this.isOver = true;
    this.rest = [];
    this.stream.destroy();
    this.onOverflow();
  }

  private deliver(line: Buffer): void {
    let message: unknown;
    try {
      message = JSON.parse(line.toString('utf8'));
    } catch {
      return;
    }
    if (!isInternal(message)) this.onMessage(message);
  }
}

function isInternal(message: unknown): boolean {
  if (typeof message !== 'object' || message === null || !('cmd' in message)) return false;
  return typeof message.cmd === 'string' && message.cmd.startsWith('NODE_');
}
