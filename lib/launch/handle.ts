import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { AbortError, NsError, OptionError, OptionRangeError } from '../errors';
import { LimitPoll } from '../monitor/monitor';
import type { Stats } from '../monitor/stats';
import { parseInteger } from '../parse';
import { asChildProcess } from './child-process';
import { JsonChannel } from './ipc';
import type { RunEvents } from './link';
import { type ParsedOptions, parseSignalNumber } from './options';
import { lines } from './output';
import type { IsolatedProcess, ProcessEvents } from './process';
import type { Result } from './result';
import type { Run } from './run';
import { traceSpawn } from './tracing';

type AnyResult = Result<string | Buffer>;

/** The promise and what is beside it, of a program that `begin` starts. */
export function handle(parsed: ParsedOptions, begin: (parsed: ParsedOptions, events: RunEvents) => Run): IsolatedProcess<string | Buffer> {
  return new Handle(parsed, begin).process;
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
  private readonly limits = new LimitPoll(
    () => `${this.pid}`,
    () => this.run?.stats(),
    () => this.parsed.spec.limits.memoryHigh,
    (event) => this.events.emit('limit', event),
  );

  private readonly traceEnd: ReturnType<typeof traceSpawn>;

  constructor(
    private readonly parsed: ParsedOptions,
    begin: (parsed: ParsedOptions, events: RunEvents) => Run,
  ) {
    this.traceEnd = traceSpawn([parsed.command.file, ...parsed.command.args]);
    for (const side of [this.spawned, this.exited, this.done]) side.promise.catch(() => {});
    this.begin(begin);
    this.process = this.assemble();
  }

  private begin(begin: (parsed: ParsedOptions, events: RunEvents) => Run): void {
    if (this.parsed.signal?.aborted) {
      this.settle(new AbortError(this.parsed.signal.reason), undefined);
      return;
    }
    try {
      this.run = begin(this.parsed, {
        started: (pid) => this.onStarted(pid),
        exited: (code, signal) => this.onExit(code, signal),
        violation: (violation) => this.events.emit('violation', violation),
        stuck: (found) => this.events.emit('stuck', found),
        egress: (event) => this.events.emit('egress', event),
        settled: (error, result) => this.settle(error, result),
      });
      this.openIpc();
      this.limits.follow(this.events);
    } catch (error) {
      // A wrong option that only shows when all of them meet is still the caller's mistake.
      if (error instanceof OptionError || error instanceof OptionRangeError) throw error;
      this.settle(error as Error, undefined);
    }
  }

  private openIpc(): void {
    const { ipcFd } = this.parsed;
    const stream = ipcFd === undefined ? undefined : this.run?.streams[ipcFd];
    if (!(stream instanceof Socket)) return;
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
      if (this.pid === undefined) this.spawned.reject(new NsError('ERR_NSJS_CLOSED', 'the sandbox was ended before its program ran'));
      this.exited.resolve({ code: result.exitCode, signal: result.signal });
    }
    this.done.resolve(result);
    this.limits.close();
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
      stats: () => this.stats(),
      send: (message: unknown) => this.send(message),
      resize: (columns: number, rows: number) => this.resize(columns, rows),
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

  private stats(): Stats {
    const stats = this.run?.stats();
    if (!stats) throw new NsError('ERR_NSJS_CLOSED', 'the program does not run', { hint: 'wait for `spawned`' });
    return stats;
  }

  private resize(columns: number, rows: number): void {
    const size = { columns: parseInteger(columns, 'columns', 0, 65_535), rows: parseInteger(rows, 'rows', 0, 65_535) };
    if (this.run && !this.run.resize(size))
      throw new NsError('ERR_NSJS_UNSUPPORTED', 'the program has no terminal', { hint: "spawn it with stdio: 'pty'" });
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
