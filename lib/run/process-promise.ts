import type { Stats } from '../monitor/stats';
import type { Result } from '../report/result';
import { asChildProcess } from './child-process';
import type { Run } from './run';
import type { IsolatedProcess } from './types';

type AnyResult = Result<string | Buffer>;
type Process = IsolatedProcess<string | Buffer>;

/** What is behind the promise. */
export interface ProcessControls {
  readonly pid: number | undefined;
  readonly run: Pick<Run, 'report' | 'streams' | 'ref'> | undefined;
  readonly events: Process['events'];
  readonly spawned: { readonly promise: Process['spawned'] };
  readonly exited: { readonly promise: Process['exited'] };
  handled<T>(promise: Promise<T>): Promise<T>;
  kill(signal: NodeJS.Signals | number): boolean;
  stop(grace?: number): Promise<AnyResult | undefined>;
  stats(): Stats;
  send(message: unknown): Promise<void>;
  resize(columns: number, rows: number): void;
  iterate(): AsyncGenerator<string>;
}

/** The promise of a program's result, and what else can be done with the program: all by its {@link ProcessControls}. */
export class ProcessPromise extends Promise<AnyResult> implements Process {
  // What then() returns is a promise alone.
  static override readonly [Symbol.species] = Promise;
  readonly #controls: ProcessControls;

  constructor(controls: ProcessControls, executor: (resolve: (result: AnyResult) => void, reject: (error: Error) => void) => void) {
    super(executor);
    this.#controls = controls;
  }

  get pid() {
    return this.#controls.pid;
  }
  get report() {
    return this.#controls.run?.report;
  }
  get spawned() {
    return this.#controls.handled(this.#controls.spawned.promise);
  }
  get exited() {
    return this.#controls.handled(this.#controls.exited.promise);
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
    return this.#controls.run?.streams ?? [];
  }
  get events() {
    return this.#controls.events;
  }
  kill(signal: NodeJS.Signals | number = 'SIGTERM') {
    return this.#controls.kill(signal);
  }
  stop(grace?: number) {
    return this.#controls.stop(grace);
  }
  stats() {
    return this.#controls.stats();
  }
  send(message: unknown) {
    return this.#controls.send(message);
  }
  resize(columns: number, rows: number) {
    this.#controls.resize(columns, rows);
  }
  ref() {
    this.#controls.run?.ref(true);
    return this;
  }
  unref() {
    this.#controls.run?.ref(false);
    return this;
  }
  asChildProcess() {
    return asChildProcess(this, this.events);
  }
  [Symbol.asyncIterator]() {
    return this.#controls.iterate();
  }
  async [Symbol.asyncDispose]() {
    await this.stop();
  }
}
