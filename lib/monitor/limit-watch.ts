import { monotonic } from '../base/clock';
import { bare } from '../base/parse';
import type { LimitsSpec } from '../cgroup/limits';
import type { Cgroups } from '../features/feature';
import { Patrol } from './patrol';
import type { Stats } from './stats';

/** Interval between two checks, in ms. */
export const lookMs = 100;
const stirredMs = 10;

/** The limit that was exceeded. */
export type Overrun = 'memory' | 'cpuTime' | 'idle' | 'wallTime';

const patrol = new Patrol(lookMs);

/** The object that is watched. */
export interface Watched {
  stats(): Stats | undefined;
  held(): number | undefined;
  runs(): boolean;
  /** Bytes that its sockets can hold without being charged to any cgroup. */
  sockets?(): number;
}

/**
 * Without a cgroup for the whole sandbox, this process adds up the usage of its processes ten times a second. This is
 * weaker than a limit of the kernel: usage between two samples, or while the event loop is busy, is noticed late. No
 * cgroup counts all the memory of sockets, so the sandbox's sockets are counted as well.
 */
export class Overseer {
  private activeAt = monotonic();
  private seen = 0;

  private constructor(
    private readonly limits: Pick<LimitsSpec, 'memory' | 'cpuTime' | 'idle'>,
    private readonly source: Watched,
    /** Bytes that its sockets may hold. */
    private readonly socketMemory: number | undefined,
  ) {}

  /** Returns undefined if cgroups count everything to which the limits apply. */
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

  /** Returns the limit that is exceeded now, if any. */
  look(): Overrun | undefined {
    const { limits, source, socketMemory } = this;
    if (socketMemory !== undefined && (source.sockets?.() ?? 0) > socketMemory) return 'memory';
    if (limits.memory === undefined && limits.cpuTime === undefined && limits.idle === undefined) return undefined;
    const stats = source.stats();
    if (!stats) return undefined;
    const { memory, cpu } = stats;
    const now = monotonic();
    // A process that gets very little CPU time seldom uses a whole tick. With `idle`, a runnable process therefore
    // counts as active.
    if (cpu.usageMs >= this.seen + stirredMs || (limits.idle !== undefined && source.runs())) {
      this.seen = cpu.usageMs;
      this.activeAt = now;
    }
    // The sum counts memory that forked processes share once for each of them, so the exact value must exceed the limit
    // too.
    if (limits.memory !== undefined && memory.usage > limits.memory && (source.held() ?? 0) > limits.memory) return 'memory';
    if (limits.cpuTime !== undefined && cpu.usageMs >= limits.cpuTime) return 'cpuTime';
    return limits.idle !== undefined && now - this.activeAt >= limits.idle ? 'idle' : undefined;
  }
}

/** Checks ten times a second until a limit is exceeded. */
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
