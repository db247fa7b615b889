import type { IoTotals, NetworkTotals, Pressure } from '../cgroup/files';
import type { EgressTotals } from '../features/egress-events';

/** Resource usage of a sandbox at one moment. */
export interface Stats {
  /** Time of the measurement, in ms since the epoch. */
  readonly time: number;
  /**
   * Source of the values: cgroups, or sums over its processes. The sums count shared memory once for each process, and
   * lack the CPU time of processes that ended without being waited for.
   */
  readonly source: 'cgroup' | 'processes';
  /** CPU time since its start, in ms. */
  readonly cpu: {
    readonly usageMs: number;
    readonly userMs?: number;
    readonly systemMs?: number;
    /** Number of periods in which `limits.cpu` was used up, and the time for which processes were throttled. */
    readonly throttledPeriods?: number;
    readonly throttledMs?: number;
  };
  /** Memory in bytes. */
  readonly memory: {
    readonly usage: number;
    readonly limit?: number;
    readonly peak?: number;
    /** Memory that the kernel could not reclaim immediately: `usage` without inactive page cache. */
    readonly workingSet?: number;
    readonly anon?: number;
    readonly file?: number;
    /** How often `memoryHigh` and `memory` were reached, and how many processes were killed for lack of memory. */
    readonly high?: number;
    readonly max?: number;
    readonly oomKills?: number;
    readonly majorFaults?: number;
  };
  /** Number of processes and threads, including init. `refused`: number of forks that the limit denied. */
  readonly pids: { readonly current: number; readonly limit?: number; readonly peak?: number; readonly refused?: number };
  /** Disk I/O, if a cgroup counts it. */
  readonly io?: IoTotals;
  /** Traffic by interface of its network namespace. */
  readonly network?: Readonly<Record<string, NetworkTotals>>;
  /** Outgoing traffic by name or address, if this process decides on egress. */
  readonly egress?: Readonly<Record<string, EgressTotals>>;
  /** Pressure stall information (Linux 4.20), if cgroups of version 2 are available. */
  readonly pressure?: Readonly<Partial<Record<'cpu' | 'memory' | 'io', { readonly some?: Pressure; readonly full?: Pressure }>>>;
}

/** Changes since the previous sample. */
export interface StatsDelta {
  readonly ms: number;
  /** Average number of CPUs in use: 1 is one whole CPU. */
  readonly cpu: number;
  readonly throttledMs: number;
  /** Bytes. Negative if memory was released. */
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

/**
 * Returns the changes between two samples taken `elapsed` ms apart. Counters of the loopback interface are left out.
 */
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

/** A limit that was reached or almost reached. */
export interface LimitEvent {
  /**
   * - `memory-near`: nine tenths of `memoryHigh`, or of `memory` without it, are in use. Reported again only after
   *   usage has fallen below eight tenths.
   * - `memory-high`, `memory-max`: the limit was reached and the kernel had to reclaim memory.
   * - `oom`: processes were killed for lack of memory.
   * - `pids`: fork(2) or clone(2) was denied.
   * - `cpu`: `limits.cpu` was used up.
   */
  readonly kind: 'memory-near' | 'memory-high' | 'memory-max' | 'oom' | 'pids' | 'cpu';
  /** Number of occurrences since the last event. For `memory-near`, the number of bytes in use. */
  readonly count: number;
  readonly stats: Stats;
}

const near = 0.9;
const farAgain = 0.8;

/** Determines which limits were reached between two samples. */
export class LimitWatch {
  private before: Stats | undefined;
  private isNear = false;

  /** `high`: `limits.memoryHigh`, if it is set. */
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
