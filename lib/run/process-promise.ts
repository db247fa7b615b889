import type { Result } from '../report/result';
import { asChildProcess } from './child-process';
import type { Handle } from './isolated-process';
import type { IsolatedProcess } from './types';

type AnyResult = Result<string | Buffer>;

/** The promise of a program's result, and what else can be done with the program. All of it is its {@link Handle}'s. */
export class ProcessPromise extends Promise<AnyResult> implements IsolatedProcess<string | Buffer> {
  // What then() returns is a promise alone.
  static override readonly [Symbol.species] = Promise;
  readonly #handle: Handle;

  constructor(handle: Handle, executor: (resolve: (result: AnyResult) => void, reject: (error: Error) => void) => void) {
    super(executor);
    this.#handle = handle;
  }

  get pid() {
    return this.#handle.pid;
  }
  get report() {
    return this.#handle.run?.report;
  }
  get spawned() {
    return this.#handle.handled(this.#handle.spawned.promise);
  }
  get exited() {
    return this.#handle.handled(this.#handle.exited.promise);
  }
  get stdin() {
    return this.stdio[0] ?? null;
  }
  get stdout() {
    return this.stdio[1] ?? null;
  }
  get stderr() {
    return this.stdio[2] ?? null;
  }
  get stdio() {
    return this.#handle.run?.streams ?? [];
  }
  get events() {
    return this.#handle.events;
  }
  kill(signal: NodeJS.Signals | number = 'SIGTERM') {
    return this.#handle.kill(signal);
  }
  stop(grace?: number) {
    return this.#handle.stop(grace);
  }
  stats() {
    return this.#handle.stats();
  }
  send(message: unknown) {
    return this.#handle.send(message);
  }
  resize(columns: number, rows: number) {
    this.#handle.resize(columns, rows);
  }
  ref() {
    this.#handle.run?.ref(true);
    return this;
  }
  unref() {
    this.#handle.run?.ref(false);
    return this;
  }
  asChildProcess() {
    return asChildProcess(this, this.events);
  }
  [Symbol.asyncIterator]() {
    return this.#handle.iterate();
  }
  async [Symbol.asyncDispose]() {
    await this.stop();
  }
}
