import type { IoTotals, NetworkTotals, Pressure } from '../cgroup/files';
import type { EgressTotals } from '../features/egress-events';

/** What a sandbox uses, at one moment. */
export interface Stats {
  /** When it was taken, in ms since the epoch. */
  readonly time: number;
  /** Where the numbers are from: cgroups, or the sum over its processes, which misses what was shared or has ended unwaited for. */
  readonly source: 'cgroup' | 'processes';
  /** CPU time since its start in ms. */
  readonly cpu: {
    readonly usageMs: number;
    readonly userMs?: number;
    readonly systemMs?: number;
    /** Of `limits.cpu`: periods that used it up, and how long processes waited for it. */
    readonly throttledPeriods?: number;
    readonly throttledMs?: number;
  };
  /** Bytes. */
  readonly memory: {
    readonly usage: number;
    readonly limit?: number;
    readonly peak?: number;
    /** What the kernel could not take back at once: `usage` without files that were not used lately. */
    readonly workingSet?: number;
    readonly anon?: number;
    readonly file?: number;
    /** How often `memoryHigh` and `memory` were reached, and how many processes were killed for it. */
    readonly high?: number;
    readonly max?: number;
    readonly oomKills?: number;
    readonly majorFaults?: number;
  };
  /** Processes and threads; init is one of them. */
  readonly pids: { readonly current: number; readonly limit?: number; readonly peak?: number; readonly refused?: number };
  /** Disks, where a cgroup counts them. */
  readonly io?: IoTotals;
  /** By interface of its network namespace. */
  readonly network?: Readonly<Record<string, NetworkTotals>>;
  /** What went out, by name or address, where this process decides on that. */
  readonly egress?: Readonly<Record<string, EgressTotals>>;
  /** Pressure stall information, Linux 4.20, where cgroups of version 2 are. */
  readonly pressure?: Readonly<Partial<Record<'cpu' | 'memory' | 'io', { readonly some?: Pressure; readonly full?: Pressure }>>>;
}

/** What has changed since the sample before. */
export interface StatsDelta {
  readonly ms: number;
  /** CPUs' worth of time: 1 is one whole CPU. */
  readonly cpu: number;
  readonly throttledMs: number;
  /** Bytes; less than 0 where memory was given back. */
  readonly memory: number;
  readonly oomKills: number;
  readonly pidsRefused: number;
  readonly ioRead: number;
  readonly ioWrite: number;
  readonly received: number;
  readonly sent: number;
}

/** One sample of {@link Sandbox.monitor}. */
export interface MonitorSample extends Stats {
  readonly delta: StatsDelta;
}

const sum = (network: Stats['network'], key: 'received' | 'sent'): number =>
  Object.entries(network ?? {}).reduce((total, [name, counters]) => (name === 'lo' ? total : total + counters[key]), 0);

/** What has changed from one sample to the next, which was taken so many ms later; counters of loopback are left out. */
export function deltaOf(before: Stats, after: Stats, elapsed: number): StatsDelta {
  const ms = Math.max(1, elapsed);
  const grown = (pick: (stats: Stats) => number | undefined): number => (pick(after) ?? 0) - (pick(before) ?? 0);
  return {
    ms: elapsed,
    cpu: grown(({ cpu }) => cpu.usageMs) / ms,
    throttledMs: grown(({ cpu }) => cpu.throttledMs),
    memory: grown(({ memory }) => memory.usage),
    oomKills: grown(({ memory }) => memory.oomKills),
    pidsRefused: grown(({ pids }) => pids.refused),
    ioRead: grown(({ io }) => io?.read),
    ioWrite: grown(({ io }) => io?.write),
    received: grown(({ network }) => sum(network, 'received')),
    sent: grown(({ network }) => sum(network, 'sent')),
  };
}

/** A limit that was met, or almost. */
export interface LimitEvent {
  /**
   * - `memory-near`: nine tenths of `memoryHigh`, or of `memory`, are used; told again once it was below eight tenths.
   * - `memory-high`, `memory-max`: the limit was reached and the kernel had to take memory back.
   * - `oom`: processes were killed for lack of memory.
   * - `pids`: fork(2) or clone(2) was refused.
   * - `cpu`: `limits.cpu` was used up.
   */
  readonly kind: 'memory-near' | 'memory-high' | 'memory-max' | 'oom' | 'pids' | 'cpu';
  /** How often since it was told last; of `memory-near` the bytes in use. */
  readonly count: number;
  readonly stats: Stats;
}

const near = 0.9;
const farAgain = 0.8;

/** Finds out which limits were met between two samples. */
export class LimitWatch {
  private before: Stats | undefined;
  private isNear = false;

  /** `high` is `limits.memoryHigh`, where it is set. */
  next(stats: Stats, high: number | undefined): readonly LimitEvent[] {
    const { before } = this;
    this.before = stats;
    const grown = (pick: (one: Stats) => number | undefined): number => (pick(stats) ?? 0) - (before ? (pick(before) ?? 0) : 0);
    const counted = [
      { kind: 'memory-high', count: grown(({ memory }) => memory.high) },
      { kind: 'memory-max', count: grown(({ memory }) => memory.max) },
      { kind: 'oom', count: grown(({ memory }) => memory.oomKills) },
      { kind: 'pids', count: grown(({ pids }) => pids.refused) },
      { kind: 'cpu', count: grown(({ cpu }) => cpu.throttledPeriods) },
    ] as const;
    return [...this.nearness(stats, high), ...counted.filter(({ count }) => count > 0)].map((event) => ({ ...event, stats }));
  }

  private nearness({ memory: { usage, limit } }: Stats, high: number | undefined): readonly Pick<LimitEvent, 'kind' | 'count'>[] {
    const bound = high ?? limit;
    if (bound === undefined) return [];
    const wasNear = this.isNear;
    this.isNear = usage >= bound * (wasNear ? farAgain : near);
    return this.isNear && !wasNear ? [{ kind: 'memory-near', count: usage }] : [];
  }
}
