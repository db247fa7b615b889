import { EventEmitter } from 'node:events';
import type { IsolatedChildProcess, IsolatedProcess, ProcessEvents } from './types';

type Process = IsolatedProcess<string | Buffer>;

/** Returns the process as an emitter of `spawn`, `exit`, `close`, `error` and `message`. */
export const asChildProcess = (process: Process, events: EventEmitter<ProcessEvents<string | Buffer>>): IsolatedChildProcess =>
  new ChildProcess(process, events);

class ChildProcess extends EventEmitter implements IsolatedChildProcess {
  exitCode: number | null = null;
  signalCode: NodeJS.Signals | null = null;
  killed = false;

  constructor(
    private readonly process: Process,
    events: EventEmitter<ProcessEvents<string | Buffer>>,
  ) {
    super();
    process.catch((error: Error & { code?: string }) => {
      // In child_process, a program that ran and failed is not an error.
      if (error.code === 'ERR_NSJS_EXIT') return;
      this.emit('error', error);
      this.emit('close', this.exitCode, this.signalCode);
    });
    events.on('spawn', () => this.emit('spawn'));
    events.on('message', (message) => this.emit('message', message));
    events.on('exit', (code, signal) => {
      this.exitCode = code;
      this.signalCode = signal;
      this.emit('exit', code, signal);
    });
    events.on('close', ({ exitCode, signal }) => this.emit('close', exitCode, signal));
  }

  get pid() {
    return this.process.pid;
  }
  get stdin() {
    return this.process.stdin;
  }
  get stdout() {
    return this.process.stdout;
  }
  get stderr() {
    return this.process.stderr;
  }
  get stdio() {
    return this.process.stdio;
  }
  get connected() {
    return this.process.stdio.length > 3 && this.exitCode === null && this.signalCode === null;
  }

  kill(signal?: NodeJS.Signals | number): boolean {
    const isSent = this.process.kill(signal);
    this.killed ||= isSent;
    return isSent;
  }

  send(message: unknown, callback?: (error: Error | null) => void): boolean {
    this.process.send(message).then(
      () => callback?.(null),
      (error: Error) => (callback ? callback(error) : this.emit('error', error)),
    );
    return true;
  }

  ref(): void {
    this.process.ref();
  }

  unref(): void {
    this.process.unref();
  }
}
