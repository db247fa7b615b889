import type { Stats } from '../monitor/stats';
import type { Result } from '../report/result';
import { asChildProcess } from './child-process';
import type { Run } from './run';
import type { IsolatedProcess } from './types';

type AnyResult = Result<string | Buffer>;
type Process = IsolatedProcess<string | Buffer>;

/** The implementation that a {@link ProcessPromise} delegates to. */
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

const behind = Symbol('nsjs');

/**
 * The promise of a program's result, with properties and methods that its {@link ProcessControls} provide. Each method
 * is bound, so it can be passed on without the promise.
 */
export class ProcessPromise extends Promise<AnyResult> implements Process {
  // then() returns a plain promise.
  static override readonly [Symbol.species] = Promise;
  declare readonly [behind]: ProcessControls;

  constructor(controls: ProcessControls, executor: (resolve: (result: AnyResult) => void, reject: (error: Error) => void) => void) {
    super(executor);
    Object.defineProperty(this, behind, { value: controls });
  }

  get pid() {
    return this[behind].pid;
  }
  get report() {
    return this[behind].run?.report;
  }
  get spawned() {
    return this[behind].handled(this[behind].spawned.promise);
  }
  get exited() {
    return this[behind].handled(this[behind].exited.promise);
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
    return this[behind].run?.streams ?? [];
  }
  get events() {
    return this[behind].events;
  }
  get kill() {
    return (signal: NodeJS.Signals | number = 'SIGTERM') => this[behind].kill(signal);
  }
  get stop() {
    return (grace?: number) => this[behind].stop(grace);
  }
  get stats() {
    return () => this[behind].stats();
  }
  get send() {
    return (message: unknown) => this[behind].send(message);
  }
  get resize() {
    return (columns: number, rows: number) => this[behind].resize(columns, rows);
  }
  get ref() {
    return () => {
      this[behind].run?.ref(true);
      return this;
    };
  }
  get unref() {
    return () => {
      this[behind].run?.ref(false);
      return this;
    };
  }
  get asChildProcess() {
    return () => asChildProcess(this, this.events);
  }
  [Symbol.asyncIterator]() {
    return this[behind].iterate();
  }
  async [Symbol.asyncDispose]() {
    await this.stop();
  }
}

// Promise.resolve() and await then use the promise itself and do not wrap it in another one.
Object.defineProperty(ProcessPromise.prototype, 'constructor', { value: Promise });
