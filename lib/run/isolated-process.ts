import { AsyncResource } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { deferred } from '../base/deferred';
import { AbortError, NsError, OptionError, OptionRangeError } from '../base/errors';
import { asMicrotask } from '../base/microtask';
import { bare, parseInteger } from '../base/parse';
import { parseSignalNumber } from '../base/signals';
import { LimitPoll } from '../monitor/monitor';
import type { Stats } from '../monitor/stats';
import type { ParsedOptions } from '../options/options';
import { ExitError, type Result } from '../report/result';
import { JsonChannel } from './ipc';
import type { RunEvents } from './link';
import { lines } from './output';
import { type ProcessControls, ProcessPromise } from './process-promise';
import type { Run } from './run';
import { traceSpawn } from './tracing';
import type { IsolatedProcess, ProcessEvents } from './types';

type AnyResult = Result<string | Buffer>;

/** Returns the promise, with its methods and events, of a program that `begin` starts. */
export function handle(parsed: ParsedOptions, begin: (parsed: ParsedOptions, events: RunEvents) => Run): IsolatedProcess<string | Buffer> {
  return new Handle(parsed, begin).promise;
}

/** The implementation of one IsolatedProcess. */
class Handle implements ProcessControls {
  readonly promise: ProcessPromise;
  readonly events = new EventEmitter<ProcessEvents<string | Buffer>>();
  readonly spawned = deferred<void>();
  readonly exited = deferred<{ code: number | null; signal: NodeJS.Signals | null }>();
  pid: number | undefined;
  run: Run | undefined;
  private resolve!: (result: AnyResult) => void;
  private reject!: (error: Error) => void;
  private readonly done = deferred<AnyResult | undefined>();
  private ipc: JsonChannel | undefined;
  private readonly limits = new LimitPoll(
    () => `${this.pid}`,
    () => this.run?.stats(),
    () => this.parsed.spec.limits.memoryHigh,
    (event) => this.inContext(() => this.events.emit('limit', event)),
  );
  private readonly traceEnd: ReturnType<typeof traceSpawn>;
  // Listeners and handlers run in the caller's asynchronous context (AsyncLocalStorage), as in child_process.
  private readonly context = new AsyncResource('NsjsProcess');

  constructor(
    private readonly parsed: ParsedOptions,
    begin: (parsed: ParsedOptions, events: RunEvents) => Run,
  ) {
    this.promise = new ProcessPromise(this, (resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.traceEnd = traceSpawn([parsed.command.file, ...parsed.command.args]);
    for (const side of [this.spawned, this.exited, this.done]) side.promise.catch(() => {});
    this.begin(begin);
  }

  private begin(begin: (parsed: ParsedOptions, events: RunEvents) => Run): void {
    if (this.parsed.signal?.aborted) {
      this.settle(new AbortError(this.parsed.signal.reason), undefined);
      return;
    }
    try {
      this.run = begin(withContext(this.parsed, this.context), {
        started: (pid) => this.inContext(() => this.onStarted(pid)),
        exited: (code, signal) => this.inContext(() => this.onExit(code, signal)),
        violation: (violation) => this.inContext(() => this.events.emit('violation', violation)),
        stuck: (found) => this.inContext(() => this.events.emit('stuck', found)),
        egress: (event) => this.inContext(() => this.events.emit('egress', event)),
        settled: (error, result) => this.inContext(() => this.settle(error, result)),
      });
      this.openIpc();
      this.limits.follow(this.events);
    } catch (error) {
      // Some option errors are only found once all options are combined. They are thrown like any other option error.
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
      this.parsed.maxMessage,
      (message) => this.inContext(() => this.events.emit('message', message)),
      () => this.run?.end('ipc'),
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

  private inContext(act: () => void): void {
    this.context.runInAsyncScope(act);
  }

  private settle(error: Error | undefined, result: AnyResult | undefined): void {
    if (error && this.isOfTheCaller(error)) this.markHandled();
    if (error) {
      this.reject(error);
      this.spawned.reject(error);
      this.exited.reject(error);
    } else if (result) {
      this.resolve(result);
      // A program that was ended before it started still has an exit status.
      if (this.pid === undefined) this.spawned.reject(new NsError('ERR_NSJS_CLOSED', 'the sandbox was ended before its program started'));
      this.exited.resolve({ code: result.exitCode, signal: result.signal });
    }
    this.done.resolve(result);
    this.limits.close();
    this.traceEnd(error, result);
    // Listeners are attached after the call returns, so the events of an immediate failure are deferred.
    asMicrotask(() => {
      if (error && this.events.listenerCount('error') > 0) {
        this.markHandled();
        this.events.emit('error', error);
      }
      if (result) this.events.emit('close', result);
    });
  }

  kill(name: NodeJS.Signals | number): boolean {
    const signal = parseSignalNumber(name, 'signal');
    const isSent = this.run?.signal(signal) ?? false;
    if (isSent && deadly.has(signal)) this.markHandled();
    return isSent;
  }

  stop(grace?: number): Promise<AnyResult | undefined> {
    if (grace !== undefined) parseInteger(grace, 'grace', 0, 2 ** 31 - 1);
    this.markHandled();
    this.run?.stop('killed', grace);
    return this.done.promise;
  }

  stats(): Stats {
    const stats = this.run?.stats();
    if (!stats) throw new NsError('ERR_NSJS_CLOSED', 'the program is not running', { hint: 'wait for `spawned`' });
    return stats;
  }

  resize(columns: number, rows: number): void {
    const size = { columns: parseInteger(columns, 'columns', 0, 65_535), rows: parseInteger(rows, 'rows', 0, 65_535) };
    if (this.run && !this.run.resize(size))
      throw new NsError('ERR_NSJS_UNSUPPORTED', 'the program has no terminal', { hint: "spawn it with stdio: 'pty'" });
  }

  async send(message: unknown): Promise<void> {
    if (!this.ipc) throw new NsError('ERR_NSJS_IPC', 'the program has no channel', { hint: "spawn it with ipc: 'json'" });
    await this.ipc.send(message);
  }

  async *iterate(): AsyncGenerator<string> {
    this.markHandled();
    let finished = false;
    try {
      if (this.promise.stdout) yield* lines(this.promise.stdout, this.parsed.maxBuffer, () => this.run?.end('output'));
      finished = true;
    } finally {
      if (!finished) await this.stop();
    }
    await this.promise;
  }

  // Whether the caller caused this error: it aborted or killed the program, or closed its sandbox.
  private isOfTheCaller(error: Error): boolean {
    return error instanceof AbortError || (error instanceof ExitError && this.run?.outcome.stopped === 'killed');
  }

  /** Returns a promise through which the caller also learns of a failure. */
  handled<T>(promise: Promise<T>): Promise<T> {
    this.markHandled();
    return promise;
  }

  // The caller learns of a failure through another promise or event. The main promise must not become an unhandled
  // rejection as well.
  private markHandled(): void {
    this.promise.catch(() => {});
  }
}

const { SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGKILL, SIGTERM } = constants.signals;
const deadly: ReadonlySet<number> = new Set([SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGKILL, SIGTERM]);

function withContext(parsed: ParsedOptions, context: AsyncResource): ParsedOptions {
  const { syscalls } = parsed;
  if (!syscalls) return parsed;
  const handlers = new Map([...syscalls.handlers].map(([name, handler]) => [name, context.bind(handler)] as const));
  return bare({ ...parsed, syscalls: { ...syscalls, handlers } });
}
