import { NsError } from '../errors';
import type { Ending, Outcome, Reason } from './outcome';
import type { Report } from './report';

/** What a sandbox used. */
export interface Usage {
  /** CPU time in ms of the program and of what it waited for. */
  readonly cpuUserMs: number;
  readonly cpuSystemMs: number;
  /** The largest resident set of one process, in bytes. */
  readonly maxRss: number;
  /** The most memory the control group held, in bytes. */
  readonly memoryPeak?: number;
  /** The most processes and threads at a time. */
  readonly pidsPeak?: number;
}

/** How often limits were met; none of these says why the program ended. */
export interface LimitsMet {
  /** Processes the kernel killed for lack of memory. */
  readonly oomKills: number;
  /** Times that fork(2) or clone(2) was refused. */
  readonly pids: number;
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
  const record = outcome.exited ?? outcome.ended;
  const memoryPeak = outcome.counter('memory.max_usage_in_bytes') ?? outcome.counter('memory.peak');
  const pidsPeak = outcome.counter('pids.peak');
  return {
    usage: {
      cpuUserMs: record?.userMs ?? 0,
      cpuSystemMs: record?.systemMs ?? 0,
      maxRss: record?.maxRss ?? 0,
      ...(memoryPeak === undefined ? {} : { memoryPeak }),
      ...(pidsPeak === undefined ? {} : { pidsPeak }),
    },
    limits: { oomKills: outcome.oomKills, pids: outcome.counter('pids.events', 'max') ?? 0 },
  };
}

const sentences: Readonly<Record<Reason, string>> = {
  exited: 'failed',
  signaled: 'was ended by a signal',
  timeout: 'ran out of time',
  aborted: 'was aborted',
  killed: 'was killed',
  oom: 'ran out of memory',
  output: 'wrote more than maxBuffer',
  supervisor: 'was ended because its keeper was killed',
};

function describe({ command, exitCode, signal, reason }: Result<string | Buffer>): string {
  const how = exitCode === null ? `signal ${signal}` : `exit code ${exitCode}`;
  return `${command.join(' ')} ${sentences[reason]}: ${how}`;
}
