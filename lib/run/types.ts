import type { EventEmitter } from 'node:events';
import type { Duplex, Readable, Writable } from 'node:stream';
import type { SandboxOptions } from '../features';
import type { EgressEvent } from '../features/egress-events';
import type { LimitEvent, Stats } from '../monitor/stats';
import type { StuckProcess } from '../monitor/stuck';
import type { ProgramOptions, RunOptions } from '../options/options';
import type { Violation } from '../options/syscalls';
import type { Report } from '../report/report';
import type { Result } from '../report/result';

/** Events of {@link IsolatedProcess.events}. `error` is emitted only if somebody listens. */
export interface ProcessEvents<Output extends string | Buffer = string> {
  /** The program runs. */
  spawn: [];
  exit: [code: number | null, signal: NodeJS.Signals | null];
  /** The sandbox is gone, its streams have ended. */
  close: [result: Result<Output>];
  error: [error: Error];
  message: [message: unknown];
  /** A system call that the filter refused; with option `violations`. */
  violation: [violation: Violation];
  /** Killed a second ago, and in uninterruptible sleep: it ends when the kernel lets it. Of a program with a sandbox of its own. */
  stuck: [processes: readonly StuckProcess[]];
  /** Egress, with `network: {egress}`: at most 200 events a second for allowed traffic, and a separate 200 for lookups and for denied traffic. */
  egress: [event: EgressEvent];
  /** A limit was met, or almost; looked for five times a second while somebody listens. */
  limit: [event: LimitEvent];
}

/** What programs can be started in. */
export interface SpawnTarget {
  spawn(command: string, args?: readonly string[], options?: ProgramOptions): IsolatedProcess<string | Buffer>;
}

/** Options of `spawnIsolated`: the sandbox's and the run's. */
export interface SpawnOptions extends SandboxOptions, RunOptions {
  /** An open {@link Sandbox} to run in, instead of one of its own: the same as its `spawn`. */
  readonly sandbox?: SpawnTarget;
}

/** A program in its sandbox, and the promise of its result. */
export interface IsolatedProcess<Output extends string | Buffer = string> extends Promise<Result<Output>>, AsyncIterable<string> {
  /** On the host; undefined until `spawned`. */
  readonly pid: number | undefined;
  /** When the program runs; rejects if the sandbox could not be set up. */
  readonly spawned: Promise<void>;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  readonly stdio: readonly (Duplex | null)[];
  readonly events: EventEmitter<ProcessEvents<Output>>;
  /** What is in force; undefined until `spawned`. */
  readonly report: Report | undefined;
  /** Sends a signal to the program (default SIGTERM); SIGKILL ends the whole sandbox. False if it has ended. */
  kill(signal?: NodeJS.Signals | number): boolean;
  /** killSignal, after `grace` ms (default killGrace) SIGKILL; resolves with the result, whatever it is. */
  stop(grace?: number): Promise<Result<Output> | undefined>;
  /**
   * What its sandbox uses now; of a program in a long-lived sandbox what it and those below it do. Throws NsError ERR_NSJS_CLOSED before
   * it runs, and after.
   */
  stats(): Stats;
  /** Sends a message to a program with `ipc: 'json'`. */
  send(message: unknown): Promise<void>;
  /** Size of its terminal, with `stdio: 'pty'`, in characters: the program gets SIGWINCH. Throws NsError ERR_NSJS_UNSUPPORTED without one. */
  resize(columns: number, rows: number): void;
  ref(): this;
  unref(): this;
  /** For libraries that want a ChildProcess: the same program as an emitter of its events. */
  asChildProcess(): IsolatedChildProcess;
  /** As `stop()`: TERM, grace, KILL. Never throws for a program that has ended. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What libraries use of a ChildProcess: streams, `pid`, `kill`, and the events of child_process. */
export interface IsolatedChildProcess extends EventEmitter {
  readonly pid: number | undefined;
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  readonly stdio: readonly (Duplex | null)[];
  readonly exitCode: number | null;
  readonly signalCode: NodeJS.Signals | null;
  readonly killed: boolean;
  readonly connected: boolean;
  kill(signal?: NodeJS.Signals | number): boolean;
  send(message: unknown, callback?: (error: Error | null) => void): boolean;
  ref(): void;
  unref(): void;
}
