import { NsError } from '../base/errors';
import { failures, parseIo } from '../cgroup/files';
import type { Ending, Outcome, Reason, TimeLimit } from '../launcher/outcome';
import type { StuckProcess } from '../monitor/stuck';
import type { Report } from './report';

/**
 * Resources that a sandbox used; for a program in a long-lived sandbox, those of the program and of the children that it waited for. A value is
 * undefined where the kernel does not report it: only a cgroup counts processes that were killed with their sandbox.
 */
export interface Usage {
  /** CPU time in ms of all its processes, init's part in setting it up (about 1 ms) included. */
  readonly cpuUserMs?: number;
  readonly cpuSystemMs?: number;
  /** The largest resident set of one process, in bytes. */
  readonly maxRss?: number;
  /** The most memory the cgroup held, in bytes: the sandbox's, or, of a program with limits of its own, the program's. */
  readonly memoryPeak?: number;
  /** The most processes and threads at a time, init among them. */
  readonly pidsPeak?: number;
  /** Bytes read from disks and written to them. */
  readonly ioRead?: number;
  readonly ioWrite?: number;
  /** Page faults: those that read from a disk, and the others. */
  readonly majorFaults?: number;
  readonly minorFaults?: number;
  /** Context switches: because it waited, and because others had their turn. */
  readonly voluntarySwitches?: number;
  readonly involuntarySwitches?: number;
}

/** How often limits were met, as the kernel counted. */
export interface LimitsMet {
  /** Processes the kernel killed for lack of memory. */
  readonly oomKills: number;
  /** Times that memory reached its limit, and the kernel took some back before it went on. */
  readonly memory?: number;
  /** Times that memory went past `memoryHigh` (version 2). */
  readonly memoryHigh?: number;
  /** Times that fork(2) or clone(2) was refused. */
  readonly pids: number;
  /** Periods in which `cpu` was used up, and for how long in ms its processes had to wait. */
  readonly cpuThrottled?: { readonly periods: number; readonly ms: number };
  /**
   * What was in uninterruptible sleep (state D) a second after it was killed: the result comes when the kernel lets it go. Event `stuck` tells at
   * once.
   */
  readonly stuck?: readonly StuckProcess[];
  /** The limit of time that was over, where `reason` is `timeout`. */
  readonly time?: TimeLimit;
}

/** How a run went. The same fields are on an {@link ExitError}. */
export interface Result<Output extends string | Buffer = string> {
  readonly command: readonly string[];
  /** Null if a signal ended the program. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly reason: Reason;
  readonly stdout: Output;
  readonly stderr: Output;
  /** From the call to the end, in ms. */
  readonly durationMs: number;
  readonly usage: Usage;
  readonly limits: LimitsMet;
  readonly report: Report;
}

/** The program ran and failed: a non-zero exit code, a signal, a limit. `code` is `ERR_NSJS_EXIT`. */
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
    // Output may be long: it is there, but not in what console.log shows of the error.
    for (const key of ['stdout', 'stderr', 'report']) Object.defineProperty(this, key, { enumerable: false });
  }
}

export function isFailure({ exitCode, reason }: Ending): boolean {
  return exitCode !== 0 || reason !== 'exited';
}

export function makeUsage(outcome: Outcome): { readonly usage: Usage; readonly limits: LimitsMet } {
  // Of a program that nobody waited for the word about its sandbox is about init alone.
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

/** Without what is undefined. */
function known<T extends object>(values: { readonly [K in keyof T]: T[K] | undefined }): T {
  const found: Partial<T> = {};
  for (const key of Object.keys(values) as (keyof T)[]) if (values[key] !== undefined) found[key] = values[key];
  return found as T;
}

// The group's word counts all of it; the others only what was waited for, or was there at its end.
function cpuMs(outcome: Outcome, mode: 'user' | 'system', waited: number | undefined): number | undefined {
  const counted = outcome.ended && outcome.counter('cpu.stat', `${mode}_usec`);
  if (counted !== undefined) return counted / usPerMs;
  const atEnd = outcome.cpuAtEnd?.[`${mode}Ms`];
  return waited === undefined || atEnd === undefined ? (waited ?? atEnd) : Math.max(waited, atEnd);
}

const nsPerUs = 1000;
const usPerMs = 1000;

// A cgroup counts what its processes caused, not only what they waited for.
function lastIo(outcome: Outcome): { readonly read: number; readonly write: number } | undefined {
  const text = outcome.lastWords.get('io.stat') ?? outcome.lastWords.get('blkio.throttle.io_service_bytes_recursive');
  return text === undefined ? undefined : parseIo(text);
}

const sentences: Readonly<Record<Reason, string>> = {
  exited: 'failed',
  signaled: 'was ended by a signal',
  timeout: 'ran out of time',
  aborted: 'was aborted',
  killed: 'was killed',
  oom: 'ran out of memory',
  output: 'wrote more than maxBuffer',
  ipc: 'sent a longer message than maxMessage',
  supervisor: 'was ended because its keeper was killed',
};

function describe({ command, exitCode, signal, reason }: Result<string | Buffer>): string {
  const how = exitCode === null ? `signal ${signal}` : `exit code ${exitCode}`;
  return `${command.join(' ')} ${sentences[reason]}: ${how}`;
}
