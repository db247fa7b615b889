import { bare } from '../base/parse';
import type { LimitsSpec } from '../cgroup/limits';
import type { Cgroups } from '../features/feature';
import { Patrol } from './patrol';
import type { Stats } from './stats';

/** ms from one look to the next. */
export const lookMs = 100;
const stirredMs = 10;

/** The limit that was over. */
export type Overrun = 'memory' | 'cpuTime' | 'idle' | 'wallTime';

const patrol = new Patrol(lookMs);

/** What is looked at. */
export interface Watched {
  stats(): Stats | undefined;
  held(): number | undefined;
  runs(): boolean;
  /** Bytes that its sockets can hold without being charged to anybody. */
  sockets?(): number;
}

/**
 * Without a cgroup for the whole sandbox, this process adds up the usage of its processes ten times a second. This is weaker than a limit of the
 * kernel: usage between two samples, or while the event loop is busy, is noticed late. No cgroup counts all the memory of sockets, so the
 * sandbox's sockets are counted as well.
 */
export class Overseer {
  private activeAt = performance.now();
  private seen = 0;

  private constructor(
    private readonly limits: Pick<LimitsSpec, 'memory' | 'cpuTime' | 'idle'>,
    private readonly source: Watched,
    /** What its sockets may hold. */
    private readonly socketMemory: number | undefined,
  ) {}

  /** Undefined where the kernel counts all of what the limits are about. */
  static for(
    { memory, cpuTime, idle }: LimitsSpec,
    cgroups: { readonly version: Cgroups['version']; readonly countsCpu: boolean },
    source: Watched,
  ): Overseer | undefined {
    const limits = bare({
      ...(memory === undefined || cgroups.version !== undefined ? {} : { memory }),
      ...(cpuTime === undefined || cgroups.countsCpu ? {} : { cpuTime }),
      ...(idle === undefined || cgroups.countsCpu ? {} : { idle }),
    });
    const sockets = bare(source).sockets ? memory : undefined;
    return Object.keys(limits).length === 0 && sockets === undefined ? undefined : new Overseer(limits, source, sockets);
  }

  /** The limit that is over now. */
  look(): Overrun | undefined {
    const { limits, source, socketMemory } = this;
    if (socketMemory !== undefined && (source.sockets?.() ?? 0) > socketMemory) return 'memory';
    if (limits.memory === undefined && limits.cpuTime === undefined && limits.idle === undefined) return undefined;
    const stats = source.stats();
    if (!stats) return undefined;
    const { memory, cpu } = stats;
    const now = performance.now();
    // Few of a starved process's ms are whole ticks.
    if (cpu.usageMs >= this.seen + stirredMs || (limits.idle !== undefined && source.runs())) {
      this.seen = cpu.usageMs;
      this.activeAt = now;
    }
    // What forked processes share is in the sum once for each of them.
    if (limits.memory !== undefined && memory.usage > limits.memory && (source.held() ?? 0) > limits.memory) return 'memory';
    if (limits.cpuTime !== undefined && cpu.usageMs >= limits.cpuTime) return 'cpuTime';
    return limits.idle !== undefined && now - this.activeAt >= limits.idle ? 'idle' : undefined;
  }
}

/** Looks ten times a second, until it has found one. */
export class Watchdog {
  constructor(
    private readonly overseer: Overseer,
    private readonly end: (overrun: Overrun) => void,
  ) {
    patrol.add(this);
  }

  stop(): void {
    patrol.remove(this);
  }

  look(): void {
    const overrun = this.overseer.look();
    if (overrun === undefined) return;
    this.stop();
    this.end(overrun);
  }
}

/** The watchdog that a sandbox needs; undefined where the kernel counts. */
export function watchdogFor(
  limits: LimitsSpec,
  { version, cpuUsage }: Pick<Cgroups, 'version' | 'cpuUsage'>,
  source: Watched,
  end: (overrun: Overrun) => void,
): Watchdog | undefined {
  const overseer = Overseer.for(limits, { version, countsCpu: cpuUsage !== undefined }, source);
  return overseer && new Watchdog(overseer, end);
}
