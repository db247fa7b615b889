import type { LimitsSpec } from '../cgroup/limits';
import type { Cgroups } from '../features/feature';
import type { Stats } from './stats';

const lookMs = 100;
const stirredMs = 10;

/** The limit that was over. */
export type Overrun = 'memory' | 'cpuTime' | 'idle';

/** What it looks at. */
export interface Watched {
  stats(): Stats | undefined;
  held(): number;
  runs(): boolean;
}

/**
 * Where no control group counts for a sandbox as a whole, its processes are added up ten times a second. Weaker than the kernel: what
 * happens in between, and while this process is busy, is seen late.
 */
export class Watchdog {
  private readonly timer: NodeJS.Timeout;
  private readonly startedAt = performance.now();
  private activeAt = this.startedAt;
  private seen = 0;

  constructor(
    private readonly limits: Pick<LimitsSpec, Overrun>,
    private readonly source: Watched,
    private readonly end: (overrun: Overrun) => void,
  ) {
    this.timer = setInterval(() => this.look(), lookMs);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const stats = this.source.stats();
    if (!stats) return;
    const overrun = this.overrun(stats);
    if (overrun === undefined) return;
    this.stop();
    this.end(overrun);
  }

  private overrun({ memory, cpu }: Stats): Overrun | undefined {
    const { limits } = this;
    const now = performance.now();
    // Few of a starved process's ms are whole ticks.
    if (cpu.usageMs >= this.seen + stirredMs || (limits.idle !== undefined && this.source.runs())) {
      this.seen = cpu.usageMs;
      this.activeAt = now;
    }
    // What forked processes share is in the sum once for each of them.
    if (limits.memory !== undefined && memory.usage > limits.memory && this.source.held() > limits.memory) return 'memory';
    if (limits.cpuTime !== undefined && cpu.usageMs >= limits.cpuTime) return 'cpuTime';
    return limits.idle !== undefined && now - this.activeAt >= limits.idle ? 'idle' : undefined;
  }
}

/** The watchdog that a sandbox needs; undefined where the kernel counts all of what its limits are about. */
export function watchdogFor(
  { memory, cpuTime, idle }: LimitsSpec,
  cgroups: Pick<Cgroups, 'version' | 'cpuUsage'>,
  source: Watched,
  end: (overrun: Overrun) => void,
): Watchdog | undefined {
  const limits = {
    ...(memory === undefined || cgroups.version !== undefined ? {} : { memory }),
    ...(cpuTime === undefined || cgroups.cpuUsage ? {} : { cpuTime }),
    ...(idle === undefined || cgroups.cpuUsage ? {} : { idle }),
  };
  return Object.keys(limits).length === 0 ? undefined : new Watchdog(limits, source, end);
}
