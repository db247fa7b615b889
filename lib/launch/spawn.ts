import { EventEmitter } from 'node:events';
import type { Duplex, Readable, Writable } from 'node:stream';
import { AbortError, NsError, OptionError, OptionRangeError } from '../errors';
import { parseInteger } from '../parse';
import { asChildProcess, type IsolatedChildProcess } from './child-process';
import { JsonChannel } from './ipc';
import { type ParsedOptions, parseOptions, parseSignalNumber, type SpawnOptions } from './options';
import { lines } from './output';
import type { Report } from './report';
import type { Result } from './result';
import { Run } from './run';
import { traceSpawn } from './tracing';

/** Events of {@link IsolatedProcess.events}. `error` is emitted only if somebody listens. */
export interface ProcessEvents<Output extends string | Buffer = string> {
  /** The program runs. */
  spawn: [];
  exit: [code: number | null, signal: NodeJS.Signals | null];
  /** The sandbox is gone, its streams have ended. */
  close: [result: Result<Output>];
  error: [error: Error];
  message: [message: unknown];
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
  /** Sends a message to a program with `ipc: 'json'`. */
  send(message: unknown): Promise<void>;
  ref(): this;
  unref(): this;
  /** For libraries that want a ChildProcess: the same program as an emitter of its events. */
  asChildProcess(): IsolatedChildProcess;
  /** As `stop()`: TERM, grace, KILL. Never throws for a program that has ended. */
  [Symbol.asyncDispose](): Promise<void>;
}

type AnyResult = Result<string | Buffer>;

/**
 * Runs a program in a sandbox of its own: new namespaces, a root of its own, no network, no capabilities, a seccomp
 * allow-list, limits. See {@link SandboxOptions} for what can be changed.
 *
 * Wrong options throw at once (OptionError, OptionRangeError). The promise rejects with a SysError if the kernel
 * refused a step of the set-up (ENOENT for a command that does not exist inside, as child_process), an ExitError if the
 * program failed (unless `reject: false`), an AbortError if `signal` was aborted. No shell is involved, ever.
 * Linux 5.12 or later.
 */
export function spawnIsolated(
  command: string,
  args?: readonly string[],
  options?: SpawnOptions & { readonly encoding?: 'utf8' },
): IsolatedProcess<string>;
export function spawnIsolated(
  command: string,
  args: readonly string[] | undefined,
  options: SpawnOptions & { readonly encoding: 'buffer' },
): IsolatedProcess<Buffer>;
export function spawnIsolated(command: string, args?: readonly string[], options?: SpawnOptions): IsolatedProcess<string | Buffer>;
export function spawnIsolated(command: string, args?: readonly string[], options: SpawnOptions = {}): IsolatedProcess<string | Buffer> {
  return new Handle(parseOptions(command, args, options)).process;
}

/** Everything behind one IsolatedProcess. */
class Handle {
  readonly process: IsolatedProcess<string | Buffer>;
  private readonly events = new EventEmitter<ProcessEvents<string | Buffer>>();
  private readonly promise = deferred<AnyResult>();
  private readonly spawned = deferred<void>();
  private readonly exited = deferred<{ code: number | null; signal: NodeJS.Signals | null }>();
  private readonly done = deferred<AnyResult | undefined>();
  private pid: number | undefined;
  private run: Run | undefined;
  private ipc: JsonChannel | undefined;

  private readonly traceEnd: ReturnType<typeof traceSpawn>;

  constructor(private readonly parsed: ParsedOptions) {
    this.traceEnd = traceSpawn([parsed.command.file, ...parsed.command.args]);
    for (const side of [this.spawned, this.exited, this.done]) side.promise.catch(() => {});
    this.begin();
    this.process = this.assemble();
  }

  private begin(): void {
    if (this.parsed.signal?.aborted) {
      this.settle(new AbortError(this.parsed.signal.reason), undefined);
      return;
    }
    try {
      this.run = new Run(this.parsed, {
        started: (pid) => this.onStarted(pid),
        exited: (code, signal) => this.onExit(code, signal),
        settled: (error, result) => this.settle(error, result),
      });
      this.openIpc();
    } catch (error) {
      // A wrong option that only shows when all of them meet is still the caller's mistake.
      if (error instanceof OptionError || error instanceof OptionRangeError) throw error;
      this.settle(error as Error, undefined);
    }
  }

  private openIpc(): void {
    const { ipcFd } = this.parsed;
    const stream = ipcFd === undefined ? undefined : this.run?.streams[ipcFd];
    if (!stream) return;
    this.ipc = new JsonChannel(
      stream,
      (message) => this.events.emit('message', message),
      () => this.run?.end('output'),
    );
  }

  private onStarted(pid: number): void {
    this.pid = pid;
    this.spawned.resolve();
    this.events.emit('spawn');
  }

  private onExit(code: number | null, signal: NodeJS.Signals | null): void {
    this.exited.resolve({ code, signal });
    this.events.emit('exit', code, signal);
  }

  private settle(error: Error | undefined, result: AnyResult | undefined): void {
    if (error) {
      this.promise.reject(error);
      this.spawned.reject(error);
      this.exited.reject(error);
    } else if (result) {
      this.promise.resolve(result);
      // What was ended before it ran has an end all the same.
      this.spawned.reject(new NsError('ERR_NSJS_CLOSED', 'the sandbox was ended before its program ran'));
      this.exited.resolve({ code: result.exitCode, signal: result.signal });
    }
    this.done.resolve(result);
    this.traceEnd(error, result);
    // Listeners are attached after the call returns, so what fails at once must wait for them.
    queueMicrotask(() => {
      if (error && this.events.listenerCount('error') > 0) this.events.emit('error', error);
      if (result) this.events.emit('close', result);
    });
  }

  private assemble(): IsolatedProcess<string | Buffer> {
    const { run } = this;
    const stdio = run?.streams ?? [];
    const handle = this;
    const properties = {
      get pid() {
        return handle.pid;
      },
      get report() {
        return handle.run?.report;
      },
      spawned: this.spawned.promise,
      exited: this.exited.promise,
      stdin: stdio[0] ?? null,
      stdout: stdio[1] ?? null,
      stderr: stdio[2] ?? null,
      stdio,
      events: this.events,
      kill: (signal: NodeJS.Signals | number = 'SIGTERM') => this.run?.signal(parseSignalNumber(signal, 'signal')) ?? false,
      stop: (grace?: number) => this.stop(grace),
      send: (message: unknown) => this.send(message),
      ref: () => this.ref(true),
      unref: () => this.ref(false),
      asChildProcess: () => asChildProcess(this.process, this.events),
      [Symbol.asyncIterator]: () => this.iterate(),
      [Symbol.asyncDispose]: async () => {
        await this.stop();
      },
    };
    const process = Object.defineProperties(this.promise.promise, Object.getOwnPropertyDescriptors(properties));
    return process as IsolatedProcess<string | Buffer>;
  }

  private stop(grace?: number): Promise<AnyResult | undefined> {
    if (grace !== undefined) parseInteger(grace, 'grace', 0, 2 ** 31 - 1);
    this.markHandled();
    this.run?.stop('killed', grace);
    return this.done.promise;
  }

  private async send(message: unknown): Promise<void> {
    if (!this.ipc) throw new NsError('ERR_NSJS_IPC', 'the program has no channel', { hint: "spawn it with ipc: 'json'" });
    await this.ipc.send(message);
  }

  private ref(on: boolean): IsolatedProcess<string | Buffer> {
    this.run?.ref(on);
    return this.process;
  }

  private async *iterate(): AsyncGenerator<string> {
    this.markHandled();
    let finished = false;
    try {
      if (this.process.stdout) yield* lines(this.process.stdout, this.parsed.maxBuffer, () => this.run?.end('output'));
      finished = true;
    } finally {
      if (!finished) await this.stop();
    }
    await this.process;
  }

  private markHandled(): void {
    this.promise.promise.catch(() => {});
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}
