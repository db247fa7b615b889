import { constants } from 'node:os';
import { errnoName, NsError, SysError } from '../base/errors';
import type { Dropped } from '../features/feature';
import type { Stats } from '../monitor/stats';
import type { StuckProcess } from '../monitor/stuck';
import { type PlannedOp, sections } from '../plan/operation';
import type { LaunchPlan } from '../plan/writer';
import { type Arch, syscallName } from '../seccomp/tables';
import { FactTexts } from './fact-texts';
import { hintFor } from './hints';
import { type HeldLimit, type LaunchRecord, recordKind } from './record';

/** Why a program ended. If there are several causes, the first one is given. */
export type Reason = 'exited' | 'signaled' | 'timeout' | 'aborted' | 'killed' | 'oom' | 'output' | 'ipc' | 'launcher';

/** A time limit: an option of `limits`, or `timeout`. */
export type TimeLimit = 'timeout' | Exclude<HeldLimit, 'memory'>;

/** How a sandbox ended, according to the records of its launcher. */
export interface Ending {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly reason: Reason;
}

const exitedNormally = 1; // CLD_EXITED

/** Why this process or a limit ended a sandbox or a program. */
interface Stop {
  readonly reason: Reason;
  readonly limit?: TimeLimit | undefined;
}

/** CPU time in ms, as far as it is known. */
interface CpuTime {
  readonly userMs?: number;
  readonly systemMs?: number;
}

interface Records {
  started: LaunchRecord | undefined;
  exited: LaunchRecord | undefined;
  ended: LaunchRecord | undefined;
  failed: LaunchRecord | undefined;
}

/** Numbers of OOM kills, where they cannot be read from the last words alone. */
interface Kills {
  own: number | undefined;
  isOom: boolean | undefined;
  nested: number;
  claimed: number;
}

/** Facts that this process has read before they were gone. */
interface Noted {
  cpu: CpuTime | undefined;
  group: Partial<Pick<Stats, 'memory' | 'pids'>> | undefined;
  stuck: readonly StuckProcess[] | undefined;
}

/**
 * Combines the records of one launch into its result. The reader of the channels feeds it, synchronously or
 * asynchronously; it knows nothing of the channels. Other facts about the end come by methods that say what happened.
 */
export class Outcome {
  /** Files of the cgroup, by name, as they were when the sandbox had ended. */
  readonly lastWords = new Map<string, string>();
  readonly dropped: Dropped[] = [];
  private readonly records: Records = { started: undefined, exited: undefined, ended: undefined, failed: undefined };
  private readonly kills: Kills = { own: undefined, isOom: undefined, nested: 0, claimed: 0 };
  private readonly noted: Noted = { cpu: undefined, group: undefined, stuck: undefined };
  private stop: Stop | undefined;
  private onEnding: (() => void) | undefined;

  constructor(
    private readonly plan: LaunchPlan,
    private readonly command: readonly string[],
    /** Contents of /proc files, where the options request verification. */
    readonly facts = new FactTexts(),
  ) {}

  /** The record of the program's start. */
  get started(): LaunchRecord | undefined {
    return this.records.started;
  }

  /** The record of the program's exit. */
  get exited(): LaunchRecord | undefined {
    return this.records.exited;
  }

  /** The record of the end of the sandbox; for a program of a long-lived sandbox, that of its exit. */
  get ended(): LaunchRecord | undefined {
    return this.records.ended;
  }

  /** Why this process or a limit ended it. Undefined if it was not ended. */
  get stopped(): Reason | undefined {
    return this.stop?.reason;
  }

  /** The time limit that expired. */
  get timeLimit(): TimeLimit | undefined {
    return this.stop?.limit;
  }

  /** Processes that were in uninterruptible sleep when they should have been gone. */
  get stuck(): readonly StuckProcess[] | undefined {
    return this.noted.stuck;
  }

  /**
   * CPU time used when this process ended the sandbox. The kernel does not add the CPU time of processes that are
   * killed with their pid namespace to any parent's.
   */
  get cpuAtEnd(): CpuTime | undefined {
    return this.noted.cpu;
  }

  /** Counters of the cgroup of a program with limits of its own, read when the program had ended. */
  get groupAtEnd(): Partial<Pick<Stats, 'memory' | 'pids'>> | undefined {
    return this.noted.group;
  }

  /** OOM kills in cgroups below the sandbox's own, where its own does not count them. */
  get nestedKills(): number {
    return this.kills.nested;
  }

  /** It is ended for this reason. Only the first reason counts. */
  killedBy(reason: Reason, limit?: TimeLimit): void {
    this.stop ??= { reason, limit };
  }

  /** It is ended because it reached a limit. Only the first reason counts. */
  limitReached(limit: TimeLimit | 'memory'): void {
    if (limit === 'memory') this.killedBy('oom');
    else this.killedBy('timeout', limit);
  }

  /** Sets the function that is called when the keeper starts to kill all of the sandbox. */
  whenEnding(act: () => void): void {
    this.onEnding = act;
  }

  noteStuck(found: readonly StuckProcess[]): void {
    this.noted.stuck = found;
  }

  noteCpu(cpu: CpuTime): void {
    this.noted.cpu ??= cpu;
  }

  noteGroup(stats: Partial<Pick<Stats, 'memory' | 'pids'>>): void {
    this.noted.group = stats;
  }

  /** Sets the OOM kills of a program of a long-lived sandbox; `isKilled` if SIGKILL ended the program. */
  noteKills(count: number, isKilled: boolean): void {
    this.kills.own = count;
    this.kills.isOom = isKilled && count > 0;
    // The program was killed before it ran.
    if (this.kills.isOom && !this.started) this.killedBy('oom');
  }

  /** Sets the number of OOM kills in a long-lived sandbox that were known when one of its programs last ended. */
  claimKills(count: number): void {
    this.kills.claimed = count;
  }

  addNestedKills(count: number): void {
    this.kills.nested += count;
  }

  feed(record: LaunchRecord): void {
    switch (record.kind) {
      case recordKind.started:
        this.records.started = record;
        break;
      case recordKind.failed:
        this.records.failed ??= record;
        break;
      case recordKind.dropped:
        this.drop(record);
        break;
      case recordKind.exited:
        this.endedFor(record);
        this.records.exited = record;
        if (record.program !== 0) this.records.ended = record;
        break;
      case recordKind.ending:
        this.onEnding?.();
        break;
      case recordKind.text:
        this.takeText(record);
        break;
      case recordKind.ended:
        // A time limit that expires after the program has exited, while the processes that it left are being killed, is
        // not the cause of the end.
        if (!this.exited || record.cause === 'memory') this.endedFor(record);
        // The OOM killer may kill init itself: before init has reported the start of its program, or together with the
        // rest of the sandbox.
        if (!this.started && !this.records.failed && this.ownOomKills > this.kills.claimed) this.killedBy('oom');
        this.records.ended = record;
    }
  }

  /** The error of the first operation that failed, if one did. */
  get failure(): Error | undefined {
    const { failed } = this.records;
    return failed && this.toError(failed);
  }

  /** Returns the error of a failed set-up, or undefined if the program ran. */
  setupError(): Error | undefined {
    const { failure, started } = this;
    if (failure || started) return failure;
    return new NsError('ERR_NSJS_LAUNCHER', 'the launcher exited without a report', {
      hint: 'the launcher was killed, possibly for lack of memory; see the kernel log',
    });
  }

  /** Like setupError(), for a sandbox that ended before it was open. If a limit ended it, the error names the limit. */
  openError(): Error | undefined {
    const { stopped, timeLimit } = this;
    if (stopped !== 'timeout' && stopped !== 'oom') return this.setupError();
    return new NsError('ERR_NSJS_CLOSED', `the sandbox was ended by limits.${timeLimit ?? 'memory'} before it was open`, {
      hint: 'setting up a sandbox takes some milliseconds and MiB itself; use a higher limit',
    });
  }

  /** Returns how the program itself ended; available as soon as init has reported it. */
  exit(): Pick<Ending, 'exitCode' | 'signal'> {
    const { exited } = this;
    const exitCode = exited?.code === exitedNormally ? exited.status : null;
    return { exitCode, signal: exitCode === null ? signalName(exited?.status ?? constants.signals.SIGKILL) : null };
  }

  /** Returns how the sandbox ended. */
  ending(): Ending {
    const { ended, stopped } = this;
    if (!ended && stopped === undefined) return { exitCode: null, signal: 'SIGKILL', reason: 'launcher' };
    const { exitCode, signal } = this.exit();
    return { exitCode, signal, reason: stopped ?? this.kernelReason(exitCode, signal) };
  }

  /** Number of processes in the sandbox that the kernel killed for lack of memory. */
  get oomKills(): number {
    return this.ownOomKills + this.kills.nested;
  }

  private get ownOomKills(): number {
    return this.counter('memory.oom_control', 'oom_kill') ?? this.counter('memory.events', 'oom_kill') ?? this.kills.own ?? 0;
  }

  /** Returns a number from a file in `lastWords`: the whole file, or the line that starts with `name`. */
  counter(file: string, name?: string): number | undefined {
    const text = this.lastWords.get(file);
    if (text === undefined) return undefined;
    if (name === undefined) return Number(text);
    const start = text.startsWith(`${name} `) ? 0 : text.indexOf(`\n${name} `) + 1;
    if (start === 0 && !text.startsWith(`${name} `)) return undefined;
    return Number.parseInt(text.slice(start + name.length), 10);
  }

  // The first cause is the reason.
  private endedFor({ cause }: LaunchRecord): void {
    if (cause !== undefined) this.limitReached(cause);
  }

  private takeText({ section, step, text }: LaunchRecord): void {
    const name = sections[section];
    if (name === 'after') this.addLastWord(this.plan.lastWord(step), text);
    else if (name === 'program') this.facts.addProgram(step, text);
    else this.facts.add(fileName(this.plan.section('inside')[step]), text);
  }

  // Cgroups of several hierarchies may have files of the same name with different contents.
  private addLastWord(file: string, text: string): void {
    this.lastWords.set(file, (this.lastWords.get(file) ?? '') + text);
  }

  private kernelReason(exitCode: number | null, signal: NodeJS.Signals | null): Reason {
    if (exitCode !== null) return 'exited';
    if (signal === 'SIGKILL' && (this.kills.isOom ?? this.oomKills > 0)) return 'oom';
    return this.exited ? 'signaled' : 'killed';
  }

  private opOf({ section, step }: LaunchRecord): PlannedOp | undefined {
    const name = sections[section];
    return name && this.plan.section(name)[step];
  }

  private drop(record: LaunchRecord): void {
    const op = this.opOf(record);
    if (!op || sections[record.section] === 'after') return;
    const code = errnoName(record.err);
    this.dropped.push({
      control: op.origin,
      reason: `${syscallOf(record)} failed: ${code}`,
      fix: hintFor(op.name, code) ?? 'see errno(3) and `nsjs probe`',
    });
  }

  private toError(record: LaunchRecord): SysError {
    const op = this.opOf(record);
    const [file = ''] = this.command;
    if (op?.name === 'Exec') {
      return new SysError({
        errno: record.err,
        syscall: `spawn ${file}`,
        path: file,
        spawnargs: this.command.slice(1),
        hint: execHint(errnoName(record.err), file),
      });
    }
    const hint = op && (hintOf[op.origin] ?? hintFor(op.name, errnoName(record.err)));
    return new SysError({ errno: record.err, syscall: syscallOf(record), origin: op?.origin ?? 'program', hint, path: pathOf(op) });
  }
}

/** Hints by option, where they are more specific than those by operation. */
const hintOf: Readonly<Record<string, string>> = { oomScoreAdj: "a value below the caller's own needs CAP_SYS_RESOURCE" };

const fileName = (op: PlannedOp | undefined): string => {
  const path = String(op?.args[0] ?? '');
  return path.slice(path.lastIndexOf('/') + 1);
};

function syscallOf({ nr }: LaunchRecord): string {
  return syscallName(nr, process.arch as Arch);
}

// The first argument of an operation that is an absolute path.
function pathOf(op: PlannedOp | undefined): string | undefined {
  const paths = op?.args.filter((argument): argument is string => typeof argument === 'string' && argument.startsWith('/'));
  return paths?.[0];
}

function signalName(number: number): NodeJS.Signals {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return (found?.[0] ?? `SIG${number}`) as NodeJS.Signals;
}

function execHint(code: string, file: string): string | undefined {
  if (code !== 'ENOENT' || !file.startsWith('/'))
    return code === 'ENOENT' && !file.includes('/') ? 'no directory of PATH inside the sandbox contains it' : undefined;
  return `if it exists on the host it is not visible inside: add {type: 'bind', source: '${file}'} to mounts`;
}
