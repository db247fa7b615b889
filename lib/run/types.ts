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

/** Events of {@link IsolatedProcess.events}. `error` is emitted only if it has a listener. */
export interface ProcessEvents<Output extends string | Buffer = string> {
  /** The program has started. */
  spawn: [];
  exit: [code: number | null, signal: NodeJS.Signals | null];
  /** The sandbox has ended and its streams have ended. */
  close: [result: Result<Output>];
  error: [error: Error];
  message: [message: unknown];
  /** The seccomp filter denied a system call; requires the option `violations`. */
  violation: [violation: Violation];
  /**
   * Processes that are in uninterruptible sleep one second after they were killed; they end when the kernel releases
   * them. Emitted only for a program with a sandbox of its own.
   */
  stuck: [processes: readonly StuckProcess[]];
  /**
   * Egress, with `network: {egress}`: at most 200 events per second for allowed traffic, and a separate 200 for lookups
   * and denied traffic.
   */
  egress: [event: EgressEvent];
  /** A limit was reached, or almost reached. Checked five times per second while there is a listener. */
  limit: [event: LimitEvent];
}

/** An object that can start programs, such as a {@link Sandbox}. */
export interface SpawnTarget {
  spawn(command: string, args?: readonly string[], options?: ProgramOptions): IsolatedProcess<string | Buffer>;
}

/** Options of `spawnIsolated`: those of the sandbox and those of the run. */
export interface SpawnOptions extends SandboxOptions, RunOptions {
  /** An open {@link Sandbox} to run the program in, instead of a sandbox of its own. Equivalent to its `spawn`. */
  readonly sandbox?: SpawnTarget;
}

/** A program in its sandbox, and the promise of its result. */
export interface IsolatedProcess<Output extends string | Buffer = string> extends Promise<Result<Output>>, AsyncIterable<string> {
  /** Pid on the host; undefined until `spawned`. */
  readonly pid: number | undefined;
  /** Resolves when the program has started; rejects if the sandbox could not be set up. */
  readonly spawned: Promise<void>;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  readonly stdio: readonly (Duplex | null)[];
  readonly events: EventEmitter<ProcessEvents<Output>>;
  /** The restrictions in force; undefined until `spawned`. */
  readonly report: Report | undefined;
  /**
   * Sends a signal to the program (default SIGTERM). SIGKILL ends the whole sandbox. Returns false if the program has
   * ended.
   */
  kill(signal?: NodeJS.Signals | number): boolean;
  /**
   * Sends killSignal, and SIGKILL after `grace` ms (default killGrace). Resolves with the result, even that of a
   * failure.
   */
  stop(grace?: number): Promise<Result<Output> | undefined>;
  /**
   * Returns the current resource usage of the sandbox; for a program in a long-lived sandbox, that of the program and
   * its descendants. Throws NsError ERR_NSJS_CLOSED if the program has not started or has ended.
   */
  stats(): Stats;
  /** Sends a message to a program with `ipc: 'json'`. */
  send(message: unknown): Promise<void>;
  /**
   * Sets the size of the terminal in characters, with `stdio: 'pty'`; the program receives SIGWINCH. Throws NsError
   * ERR_NSJS_UNSUPPORTED without a terminal.
   */
  resize(columns: number, rows: number): void;
  ref(): this;
  unref(): this;
  /** Returns the same program as an emitter of child_process events, for libraries that expect a ChildProcess. */
  asChildProcess(): IsolatedChildProcess;
  /** Calls `stop()`. Never throws for a program that has ended. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The parts of a ChildProcess that libraries use: streams, `pid`, `kill`, and the events of child_process. */
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
