import { closeSync, readSync, writeSync } from 'node:fs';
import { monotonic } from '../base/clock';
import { OptionError } from '../base/errors';
import { isBytes } from '../base/parse';
import { explainExec } from '../launcher/exec-hint';
import { Instance } from '../launcher/instance';
import { type Launched, launch, openCleanup } from '../launcher/launch';
import { Outcome, type Reason } from '../launcher/outcome';
import { lookMs } from '../monitor/limit-watch';
import { channel, native, stdioKind } from '../native/addon';
import { type ParsedOptions, parseOptions, readSpawnOptions } from '../options/options';
import { makeReport, type Report } from '../report/report';
import { ExitError, isFailure, makeUsage, type Result } from '../report/result';
import { finish, Output } from './output';
import { Alarms, limitTime, type Stoppable } from './timeout';
import { traceSpawn } from './tracing';
import type { SpawnOptions } from './types';

const pollIn = 1;
const pollOut = 4;
const chunkSize = 65_536;

/**
 * Runs a program like {@link spawnIsolated}, but blocks until the sandbox has ended. Throws the error that the promise
 * would reject with. `sandbox`, `signal`, `ipc`, `onSyscall`, `network.egress`, a terminal and streams as input need
 * the asynchronous form.
 */
export function spawnIsolatedSync(
  command: string,
  args?: readonly string[],
  options?: SpawnOptions & { readonly encoding?: 'utf8' },
): Result<string>;
export function spawnIsolatedSync(
  command: string,
  args: readonly string[] | undefined,
  options: SpawnOptions & { readonly encoding: 'buffer' },
): Result<Buffer>;
export function spawnIsolatedSync(command: string, args?: readonly string[], options?: SpawnOptions): Result<string | Buffer> {
  const given = readSpawnOptions(options);
  const parsed = parseOptions(command, args, given);
  if (given.sandbox !== undefined) throw new OptionError('sandbox', 'a program in a running sandbox needs the asynchronous spawnIsolated');
  if (parsed.signal) throw new OptionError('signal', 'a blocking call cannot be aborted; use the option timeout');
  if (parsed.program.pty) throw new OptionError('stdio', 'a terminal needs the asynchronous spawnIsolated');
  if (parsed.syscalls) throw new OptionError('onSyscall', 'needs the asynchronous spawnIsolated');
  if (typeof parsed.spec.network === 'object' && parsed.spec.network.egress)
    throw new OptionError(
      'network.egress',
      'this process decides about connections, which is not possible during a blocking call; use the asynchronous spawnIsolated',
    );
  if (parsed.ipcFd !== undefined) throw new OptionError('ipc', 'needs the asynchronous spawnIsolated');
  if (parsed.input !== undefined && typeof parsed.input !== 'string' && !isBytes(parsed.input))
    throw new OptionError('input', 'a stream needs the asynchronous spawnIsolated');
  const end = traceSpawn([parsed.command.file, ...parsed.command.args]);
  try {
    const result = new SyncRun(parsed).result();
    end(undefined, result);
    return result;
  } catch (error) {
    end(error as Error, error instanceof ExitError ? error : undefined);
    throw error;
  }
}

class SyncRun implements Stoppable {
  private readonly startedAt = monotonic();
  readonly outcome: Outcome;
  private readonly launched: Launched;
  private readonly instance: Instance;
  private readonly outputs: readonly Output[];
  private readonly open = new Set<number>();
  private readonly alarms = new Alarms();
  private input: Uint8Array;

  constructor(private readonly parsed: ParsedOptions) {
    this.launched = launch(parsed);
    this.launched.session.adopt();
    this.outcome = new Outcome(this.launched.plan, [parsed.command.file, ...parsed.command.args]);
    this.instance = new Instance(this.launched, this.outcome, parsed.spec);
    this.outputs = [1, 2].map(() => new Output(parsed.maxBuffer, () => this.end('output')));
    this.input =
      typeof parsed.input === 'string' ? Buffer.from(parsed.input) : ((parsed.input as Uint8Array | undefined) ?? new Uint8Array());
    for (const [number, fd] of this.launched.ours.entries()) if (fd >= 0) this.open.add(number);
    limitTime(this, this.alarms, parsed);
    this.watch();
    this.loop();
    this.instance.close();
    this.launched.forget?.();
  }

  get alive(): boolean {
    return !this.outcome.exited && !this.outcome.ended;
  }

  signal(number: number): void {
    this.launched.session.signal(number);
  }

  // The program has its sandbox for itself: everything in it is killed with it.
  onStopping(): void {}

  end(reason: Reason): void {
    this.outcome.killedBy(reason);
    this.instance.kill();
  }

  result(): Result<string | Buffer> {
    const { parsed, outcome } = this;
    const error = outcome.stopped && !outcome.started ? undefined : outcome.setupError();
    if (error) throw explainExec(error, parsed.spec, parsed.command.file);
    const [stdout, stderr] = this.outputs.map((output) => finish(output, parsed));
    const { started } = outcome;
    const report = started && makeReport(parsed.spec, this.launched.context, started, outcome);
    const result = {
      command: [parsed.command.file, ...parsed.command.args],
      ...outcome.ending(),
      stdout: stdout ?? '',
      stderr: stderr ?? '',
      durationMs: monotonic() - this.startedAt,
      ...makeUsage(outcome),
      report: report as Report,
    };
    if (parsed.reject && isFailure(result)) throw new ExitError(result);
    return result;
  }

  // Samples the resource usage for limits that no cgroup enforces.
  private watch(): void {
    const overseer = this.instance.overseer(() => this.instance.stats(this.parsed.spec.limits));
    if (!overseer) return;
    const look = () => {
      const overrun = this.outcome.stopped === undefined ? overseer.look() : undefined;
      if (overrun === undefined) this.alarms.after(lookMs, look);
      else {
        this.outcome.limitReached(overrun);
        this.instance.kill();
      }
    };
    this.alarms.after(lookMs, look);
  }

  private loop(): void {
    const { session } = this.launched;
    for (let running = true; running; ) {
      const numbers = [...this.open];
      const streams = numbers.map((number) => ((this.launched.ours[number] ?? -1) << 3) | (this.isInput(number) ? pollOut : pollIn));
      const channels = Object.values(channel).map((which) => (session.fd(which) << 3) | pollIn);
      const entries = Int32Array.from([...channels, ...streams]);
      native().poll(entries, this.alarms.nextMs);
      // Records are read before alarms are handled: a program that ended in time, while this process was busy, must not
      // count as stopped.
      for (const which of [channel.init, channel.control]) this.read(which);
      this.alarms.ring();
      for (const [index, number] of numbers.entries()) if (entries[channels.length + index]) this.serve(number);
      running = !entries[channel.keeperEnd];
      // A channel at EOF would stay ready forever, so only the end of the keeper ends the loop.
    }
    session.close();
    for (const number of [...this.open]) this.drain(number);
    if (this.outcome.ended?.err !== 0) this.cleanUp();
  }

  private cleanUp(): void {
    const session = openCleanup(this.launched.plan, this.parsed.spec.launcherPath);
    if (!session) return;
    native().poll(Int32Array.from([(session.fd(channel.keeperEnd) << 3) | pollIn]), -1);
    session.close();
  }

  private read(which: number): void {
    for (const { record } of this.launched.session.inOrder(which)) this.outcome.feed(record);
  }

  private isInput(number: number): boolean {
    return this.parsed.program.stdio[number] === stdioKind.readPipe;
  }

  private serve(number: number): void {
    if (!this.isInput(number)) this.readSome(number);
    // Only descriptor 0 has input to write.
    else if (number === 0) this.write(number);
    else this.shut(number);
  }

  private write(number: number): void {
    try {
      // Small enough (PIPE_BUF) never to block on a pipe that poll(2) reports as writable.
      const written = this.input.length === 0 ? 0 : writeSync(this.fdOf(number), this.input, 0, Math.min(this.input.length, 4096));
      this.input = this.input.subarray(written);
    } catch {
      this.input = new Uint8Array();
    }
    if (this.input.length === 0) this.shut(number);
  }

  private readSome(number: number): boolean {
    const chunk = Buffer.alloc(chunkSize);
    const size = readSync(this.fdOf(number), chunk);
    if (size === 0) this.shut(number);
    else this.outputs[number - 1]?.add(chunk.subarray(0, size));
    return size > 0;
  }

  private drain(number: number): void {
    if (this.isInput(number)) this.shut(number);
    else while (this.readSome(number));
  }

  private shut(number: number): void {
    this.open.delete(number);
    closeSync(this.fdOf(number));
  }

  private fdOf(number: number): number {
    return this.launched.ours[number] ?? -1;
  }
}
