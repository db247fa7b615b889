import { NsError } from '../base/errors';
import { failures, parseIo } from '../cgroup/files';
import type { Ending, Outcome, Reason, TimeLimit } from '../launcher/outcome';
import type { StuckProcess } from '../monitor/stuck';
import type { Report } from './report';

/**
 * Resources that a sandbox used; for a program in a long-lived sandbox, those of the program and of the children that
 * it waited for. A value is undefined if the kernel does not report it: only a cgroup counts processes that were killed
 * with their sandbox.
 */
export interface Usage {
  /** CPU time of all processes in ms, including that of init for the set-up (about 1 ms). */
  readonly cpuUserMs?: number;
  readonly cpuSystemMs?: number;
  /** The largest resident set of one process, in bytes. */
  readonly maxRss?: number;
  /**
   * Peak memory of the cgroup in bytes: that of the sandbox or, for a program with limits of its own, that of the
   * program.
   */
  readonly memoryPeak?: number;
  /** Peak number of processes and threads at the same time, including init. */
  readonly pidsPeak?: number;
  /** Bytes read from disks and written to disks. */
  readonly ioRead?: number;
  readonly ioWrite?: number;
  /** Page faults: those that read from a disk, and the others. */
  readonly majorFaults?: number;
  readonly minorFaults?: number;
  /** Context switches: voluntary because the process waited, involuntary because other processes had their turn. */
  readonly voluntarySwitches?: number;
  readonly involuntarySwitches?: number;
}

/** How often limits were reached, as counted by the kernel. */
export interface LimitsMet {
  /** Number of processes that the kernel killed because memory ran out. */
  readonly oomKills: number;
  /** How often memory reached its limit and the kernel had to reclaim some. */
  readonly memory?: number;
  /** How often memory exceeded `memoryHigh` (version 2). */
  readonly memoryHigh?: number;
  /** How often fork(2) or clone(2) was refused. */
  readonly pids: number;
  /** Number of periods in which `cpu` was used up, and how long the processes had to wait in ms. */
  readonly cpuThrottled?: { readonly periods: number; readonly ms: number };
  /**
   * Processes that were in uninterruptible sleep (state D) one second after they were killed. The result is delayed
   * until the kernel releases them; the event `stuck` is not.
   */
  readonly stuck?: readonly StuckProcess[];
  /** The time limit that was exceeded, if `reason` is `timeout`. */
  readonly time?: TimeLimit;
}

/** The result of a run. An {@link ExitError} has the same fields. */
export interface Result<Output extends string | Buffer = string> {
  readonly command: readonly string[];
  /** Null if a signal ended the program. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly reason: Reason;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Time from the call to the end in ms. */
  readonly durationMs: number;
  readonly usage: Usage;
  readonly limits: LimitsMet;
  readonly report: Report;
}

/** The program ran and failed: a non-zero exit code, a signal or a limit. `code` is `ERR_NSJS_EXIT`. */
export class ExitError<Output extends string | Buffer = string> extends NsError implements Result<Output> {
  override readonly name = 'ExitError';
  readonly command!: readonly string[];
  readonly exitCode!: number | null;
  readonly signal!: NodeJS.Signals | null;
  readonly reason!: Reason;
  readonly stdout!: Output;
  readonly stderr!: Output;
  readonly durationMs!: number;
  readonly usage!: Usage;
  readonly limits!: LimitsMet;
  readonly report!: Report;

  constructor(result: Result<Output>) {
    super('ERR_NSJS_EXIT', describe(result));
    Object.assign(this, result);
    // Not enumerable, so that console.log does not print the output, which may be long.
    for (const key of ['stdout', 'stderr', 'report']) Object.defineProperty(this, key, { enumerable: false });
  }
}

export function isFailure({ exitCode, reason }: Ending): boolean {
  return exitCode !== 0 || reason !== 'exited';
}

export function makeUsage(outcome: Outcome): { readonly usage: Usage; readonly limits: LimitsMet } {
  // If there is no record of the program's exit, the record about the sandbox covers init alone.
  const isInits = outcome.started !== undefined && outcome.exited === undefined;
  const waited = isInits ? undefined : (outcome.ended ?? outcome.exited);
  const io = lastIo(outcome) ?? waited?.io;
  const own = outcome.groupAtEnd;
  return {
    usage: known({
      cpuUserMs: cpuMs(outcome, 'user', waited?.userMs),
      cpuSystemMs: cpuMs(outcome, 'system', waited?.systemMs),
      maxRss: waited?.maxRss,
      memoryPeak: own?.memory?.peak ?? outcome.counter('memory.max_usage_in_bytes') ?? outcome.counter('memory.peak'),
      pidsPeak: own?.pids?.peak ?? outcome.counter('pids.peak'),
      ioRead: io?.read,
      ioWrite: io?.write,
      majorFaults: waited?.faults.major,
      minorFaults: waited?.faults.minor,
      voluntarySwitches: waited?.switches.voluntary,
      involuntarySwitches: waited?.switches.involuntary,
    }),
    limits: limitsMet(outcome),
  };
}

function limitsMet(outcome: Outcome): LimitsMet {
  const periods = outcome.counter('cpu.stat', 'nr_throttled');
  const usec = outcome.counter('cpu.stat', 'throttled_usec') ?? (outcome.counter('cpu.stat', 'throttled_time') ?? 0) / nsPerUs;
  return known({
    oomKills: outcome.oomKills,
    memory:
      failures(
        outcome.counter('memory.failcnt'),
        outcome.counter('memory.memsw.failcnt'),
        outcome.oomKills || Number(outcome.ended?.cause === 'memory'),
      ) ?? outcome.counter('memory.events', 'max'),
    memoryHigh: outcome.counter('memory.events', 'high'),
    pids: outcome.counter('pids.events', 'max') ?? 0,
    cpuThrottled: periods === undefined ? undefined : { periods, ms: usec / usPerMs },
    stuck: outcome.stuck,
    time: outcome.timeLimit,
  });
}

/** Returns the values without those that are undefined. */
function known<T extends object>(values: { readonly [K in keyof T]: T[K] | undefined }): T {
  const found: Partial<T> = {};
  for (const key of Object.keys(values) as (keyof T)[]) if (values[key] !== undefined) found[key] = values[key];
  return found as T;
}

// The cgroup counts all processes. The other sources only count processes that were waited for, or that existed at the
// end.
function cpuMs(outcome: Outcome, mode: 'user' | 'system', waited: number | undefined): number | undefined {
  const counted = outcome.ended && outcome.counter('cpu.stat', `${mode}_usec`);
  if (counted !== undefined) return counted / usPerMs;
  const atEnd = outcome.cpuAtEnd?.[`${mode}Ms`];
  return waited === undefined || atEnd === undefined ? (waited ?? atEnd) : Math.max(waited, atEnd);
}

const nsPerUs = 1000;
const usPerMs = 1000;

// A cgroup counts the I/O that its processes caused, not only the I/O that they waited for.
function lastIo(outcome: Outcome): { readonly read: number; readonly write: number } | undefined {
  const text = outcome.lastWords.get('io.stat') ?? outcome.lastWords.get('blkio.throttle.io_service_bytes_recursive');
  return text === undefined ? undefined : parseIo(text);
}

const sentences: Readonly<Record<Reason, string>> = {
  exited: 'failed',
  signaled: 'was terminated by a signal',
  timeout: 'exceeded a time limit',
  aborted: 'was aborted',
  killed: 'was killed',
  oom: 'ran out of memory',
  output: 'wrote more than maxBuffer',
  ipc: 'sent a longer message than maxMessage',
  launcher: 'was ended because its keeper was killed',
};

function describe({ command, exitCode, signal, reason }: Result<string | Buffer>): string {
  const how = exitCode === null ? `signal ${signal}` : `exit code ${exitCode}`;
  return `${command.join(' ')} ${sentences[reason]}: ${how}`;
}
