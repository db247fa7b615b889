import { monotonic } from '../base/clock';
import { AbortError } from '../base/errors';
import { bare } from '../base/parse';
import { notifyFd } from '../features/seccomp';
import { policyFor } from '../features/seccomp-filter';
import { masterFd } from '../features/terminal';
import { explainExec } from '../launcher/exec-hint';
import type { Outcome, Reason } from '../launcher/outcome';
import { type LaunchRecord, recordKind, unstarted } from '../launcher/record';
import type { Overrun } from '../monitor/limit-watch';
import type { Stats } from '../monitor/stats';
import type { ParsedOptions } from '../options/options';
import type { TerminalSize } from '../options/run-values';
import { factsError } from '../report/kernel-facts';
import { makeReport, type Report } from '../report/report';
import { ExitError, isFailure, makeUsage, type Result } from '../report/result';
import { close } from '../sys/file';
import { Notifier } from '../syscalls/notifier';
import { onAbort } from './abort';
import { feedInput } from './input';
import type { Link, RunEvents } from './link';
import { finish, Output } from './output';
import { ProgramStreams } from './streams';
import { limitTime, type Stoppable, stop, Timers } from './timeout';

const kill = 9;

/** One program, from its start to the end of its streams: its streams, its timers and the result of its records. */
export class Run implements Stoppable {
  private readonly sides: ProgramStreams;
  report: Report | undefined;
  private notifier: Notifier | undefined;
  private readonly startedAt = monotonic();
  private readonly outputs: readonly Output[];
  private readonly timers = new Timers();
  private readonly waiting: number[] = [];
  private openStreams = 0;
  /** The first error for which this process ended the program. */
  private error: Error | undefined;
  private state: 'running' | 'gone' | 'settled' = 'running';
  private forgetAbort = () => {};

  constructor(
    private readonly parsed: ParsedOptions,
    private readonly events: RunEvents,
    private readonly link: Link,
  ) {
    this.sides = new ProgramStreams(link.launched.ours, parsed.program.stdio);
    this.outputs = this.collect();
    feedInput(this.streams[0], parsed.input, (error) => this.fail(error));
    limitTime(this, this.timers, parsed);
    this.forgetAbort = onAbort(parsed.signal, () => this.stop('aborted'));
  }

  get outcome(): Outcome {
    return this.link.outcome;
  }

  /** The streams by descriptor number; null if the program's descriptor is not a pipe to this process. */
  get streams(): ProgramStreams['list'] {
    return this.sides.list;
  }

  /** Whether the caller has aborted it. */
  get aborted(): boolean {
    return this.parsed.signal?.aborted ?? false;
  }

  /** False once the program has ended. */
  get alive(): boolean {
    return this.state === 'running' && !this.outcome.exited;
  }

  /**
   * Sends a signal. SIGKILL kills the program, and in a one-shot run the whole sandbox with it. Signals that are sent
   * before the program has started are delivered when it starts.
   */
  signal(number: number): boolean {
    if (!this.alive) return false;
    if (number === kill) this.end('killed');
    else if (!this.outcome.started) this.waiting.push(number);
    else this.link.signal(number);
    return true;
  }

  /** Sends killSignal, then SIGKILL after the grace period. */
  stop(reason: Reason, killGrace = this.parsed.killGrace): void {
    stop(this, reason, this.timers, { killSignal: this.parsed.killSignal, killGrace });
  }

  onStopping(): void {
    this.link.onStopping();
  }

  /** Kills the program immediately. */
  end(reason: Reason): void {
    if (this.state !== 'running') return;
    this.outcome.killedBy(reason);
    this.link.end();
  }

  /** Sets the size of the program's terminal. Returns false if it has none. */
  resize(size: TerminalSize): boolean {
    this.sides.pty?.resize(size);
    return this.sides.pty !== undefined;
  }

  /** Returns the resource usage of the program while it runs. */
  stats(): Stats | undefined {
    return this.outcome.started && this.alive ? this.link.stats() : undefined;
  }

  /** Ends the program because it exceeded a limit that nsjs itself watches. */
  overrun(limit: Overrun): void {
    if (!this.alive || this.outcome.stopped) return;
    this.outcome.limitReached(limit);
    this.link.end();
  }

  ref(on: boolean): void {
    this.link.ref(on);
    this.sides.ref(on);
  }

  /** Handles a record about this program or its sandbox, and takes over the descriptors that came with it. */
  feed(record: LaunchRecord, pid: number, fds: readonly number[]): void {
    for (const fd of fds) {
      if (record.kind === recordKind.fd && record.status === masterFd && this.sides.pty) this.sides.pty.attach(fd);
      else if (record.kind === recordKind.fd && record.status === notifyFd && this.parsed.syscalls)
        this.notifier = new Notifier(fd, this.parsed.syscalls, policyFor(this.parsed.spec), (one) => this.events.violation(one));
      else close(fd);
    }
    const { started, exited } = this.outcome;
    this.outcome.feed(record);
    if (!started && this.outcome.started) this.onStarted(this.parsed.spec.namespaces.pid ? pid : record.status);
    if (!exited && this.outcome.exited && this.outcome.started) this.tellExit();
  }

  /**
   * Ends the streams once they are idle. The program has exited, but processes that it left running may hold them open.
   */
  drain(idleMs: number): void {
    this.sides.drain(idleMs);
  }

  /** Handles the end of the program and of all processes that could still write to its streams. */
  onGone(): void {
    if (this.state !== 'running') return;
    this.state = 'gone';
    this.notifier?.close();
    this.link.onGone();
    this.sides.release(this.outcome.started !== undefined, this.parsed.buffer);
    this.timers.clear();
    this.forgetAbort();
    this.settleIfDone();
  }

  private collect(): readonly Output[] {
    return [1, 2].map((number) => {
      const output = new Output(this.parsed.maxBuffer, () => this.overflow());
      const stream = this.streams[number];
      if (!stream || !this.parsed.buffer) return output;
      this.openStreams++;
      const done = once(() => {
        this.openStreams--;
        this.settleIfDone();
      });
      stream.once('close', done);
      // A `readable` listener may read late or never, so its stream does not delay the result.
      output.attach(stream, () => stream.listenerCount('readable') > 0 && done());
      return output;
    });
  }

  // Set even if the sandbox has already ended: truncated output is not a success.
  private overflow(): void {
    this.outcome.killedBy('output');
    this.end('output');
  }

  private fail(error: Error): void {
    this.error ??= error;
    this.end('killed');
  }

  private onStarted(pid: number): void {
    const { started } = this.outcome;
    if (started) this.report = makeReport(this.parsed.spec, this.link.launched.context, started, this.outcome);
    const error = factsError(this.parsed.spec, bare({ ...this.report }).kernel, this.link.limits);
    // This error replaces an earlier one of the input: the program was not isolated as required.
    if (error) {
      this.error = error;
      this.end('killed');
    }
    for (const number of this.waiting.splice(0)) this.link.signal(number);
    this.link.onStarted();
    this.events.started(pid);
  }

  private tellExit(): void {
    const { exitCode, signal } = this.outcome.exit();
    this.events.exited(exitCode, signal);
  }

  private settleIfDone(): void {
    if (this.state !== 'gone' || this.openStreams > 0) return;
    this.state = 'settled';
    try {
      if (this.outcome.started && !this.outcome.exited) this.tellExit();
    } finally {
      // Also if a listener throws.
      this.settle();
    }
  }

  private settle(): void {
    const { outcome, parsed } = this;
    if (outcome.stopped === 'aborted') {
      this.events.settled(new AbortError(parsed.signal?.reason), undefined);
      return;
    }
    const setUp = outcome.stopped && !outcome.started ? undefined : outcome.setupError();
    const error = this.error ?? explainExec(setUp, parsed.spec, parsed.command.file);
    if (error) {
      for (const stream of this.streams) stream?.destroy();
      this.events.settled(error, undefined);
      return;
    }
    try {
      const result = this.result();
      this.events.settled(parsed.reject && isFailure(result) ? new ExitError(result) : undefined, result);
    } catch (error) {
      this.events.settled(error as Error, undefined);
    }
  }

  private result(): Result<string | Buffer> {
    const { parsed, outcome } = this;
    const [stdout, stderr] = this.outputs.map((output) => finish(output, parsed));
    return {
      command: [parsed.command.file, ...parsed.command.args],
      ...outcome.ending(),
      stdout: stdout ?? '',
      stderr: stderr ?? '',
      durationMs: monotonic() - this.startedAt,
      ...makeUsage(outcome),
      report: this.report ?? makeReport(parsed.spec, this.link.launched.context, unstarted, outcome),
    };
  }
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    act();
  };
}
