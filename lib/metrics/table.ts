import type { Stats } from '../monitor/stats';

/** Measurements of a sandbox. */
export interface Measured {
  readonly id: string;
  /** Time at which it was opened, in ms since the epoch. */
  readonly openedAt: number;
  readonly stats: Stats;
}

/** One value of a metric, and the attributes that distinguish it from other values of the same sandbox. */
export interface Point {
  readonly value: number;
  readonly attributes?: Readonly<Record<string, string>>;
}

/** One metric under both of its names. Values are in base units: seconds and bytes. */
export interface Metric {
  /** Name in OpenTelemetry's semantic conventions for containers, or `nsjs.*` if they define none. */
  readonly name: string;
  /**
   * Name in cAdvisor, whose dashboards are widespread, or `nsjs_*` if it has none. A function derives the name
   * and labels from the attributes.
   */
  readonly prometheus: string | ((point: Point) => { readonly name: string; readonly labels?: Readonly<Record<string, string>> });
  readonly kind: 'counter' | 'gauge';
  readonly unit: string;
  readonly description: string;
  points(measured: Measured): readonly Point[];
}

const ms = 1000;
const one = (value: number | undefined): readonly Point[] => (value === undefined ? [] : [{ value }]);
const seconds = (value: number | undefined): readonly Point[] => one(value === undefined ? undefined : value / ms);
const attributed = (values: Readonly<Record<string, number | undefined>>, key: string): readonly Point[] =>
  Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [{ value, attributes: { [key]: name } }]));

const suffixed =
  (
    key: string,
    names: Readonly<Record<string, string>>,
    labels?: (attributes: Readonly<Record<string, string>>) => Readonly<Record<string, string>>,
  ) =>
  ({ attributes = {} }: Point) => ({ name: names[attributes[key] ?? ''] ?? '', ...(labels ? { labels: labels(attributes) } : {}) });

/** All metrics of a sandbox. A metric has no points if the host lacks its source. */
export const metrics: readonly Metric[] = [
  {
    name: 'container.cpu.time',
    prometheus: suffixed('cpu.mode', { user: 'container_cpu_user_seconds_total', system: 'container_cpu_system_seconds_total' }),
    kind: 'counter',
    unit: 's',
    description: 'CPU time by mode',
    points: ({ stats: { cpu } }) => attributed({ user: divided(cpu.userMs), system: divided(cpu.systemMs) }, 'cpu.mode'),
  },
  {
    name: 'nsjs.cpu.total',
    prometheus: 'container_cpu_usage_seconds_total',
    kind: 'counter',
    unit: 's',
    description: 'CPU time of all processes',
    points: ({ stats: { cpu } }) => seconds(cpu.usageMs),
  },
  {
    name: 'nsjs.cpu.throttled.time',
    prometheus: 'container_cpu_cfs_throttled_seconds_total',
    kind: 'counter',
    unit: 's',
    description: 'Time that processes waited because the CPU limit was used up',
    points: ({ stats: { cpu } }) => seconds(cpu.throttledMs),
  },
  {
    name: 'nsjs.cpu.throttled.periods',
    prometheus: 'container_cpu_cfs_throttled_periods_total',
    kind: 'counter',
    unit: '{period}',
    description: 'Periods in which the CPU limit was used up',
    points: ({ stats: { cpu } }) => one(cpu.throttledPeriods),
  },
  {
    name: 'container.memory.usage',
    prometheus: 'container_memory_usage_bytes',
    kind: 'gauge',
    unit: 'By',
    description: 'Memory in use, page cache included',
    points: ({ stats: { memory } }) => one(memory.usage),
  },
  {
    name: 'container.memory.working_set',
    prometheus: 'container_memory_working_set_bytes',
    kind: 'gauge',
    unit: 'By',
    description: 'Memory in use without inactive page cache',
    points: ({ stats: { memory } }) => one(memory.workingSet),
  },
  {
    name: 'container.memory.rss',
    prometheus: 'container_memory_rss',
    kind: 'gauge',
    unit: 'By',
    description: 'Anonymous memory',
    points: ({ stats: { memory } }) => one(memory.anon),
  },
  {
    name: 'nsjs.memory.cache',
    prometheus: 'container_memory_cache',
    kind: 'gauge',
    unit: 'By',
    description: 'Page cache',
    points: ({ stats: { memory } }) => one(memory.file),
  },
  {
    name: 'container.memory.available',
    prometheus: 'nsjs_memory_available_bytes',
    kind: 'gauge',
    unit: 'By',
    description: 'Memory left below the limit',
    points: ({ stats: { memory } }) => one(memory.limit === undefined ? undefined : Math.max(0, memory.limit - memory.usage)),
  },
  {
    name: 'nsjs.memory.limit',
    prometheus: 'container_spec_memory_limit_bytes',
    kind: 'gauge',
    unit: 'By',
    description: 'Memory limit',
    points: ({ stats: { memory } }) => one(memory.limit),
  },
  {
    name: 'nsjs.memory.peak',
    prometheus: 'container_memory_max_usage_bytes',
    kind: 'gauge',
    unit: 'By',
    description: 'Peak memory usage',
    points: ({ stats: { memory } }) => one(memory.peak),
  },
  {
    name: 'nsjs.memory.events',
    prometheus: suffixed('event', {
      max: 'container_memory_failcnt',
      high: 'nsjs_memory_high_total',
      oom_kill: 'container_oom_events_total',
    }),
    kind: 'counter',
    unit: '{event}',
    description: 'Number of times that memory limits were reached, and of processes killed for lack of memory',
    points: ({ stats: { memory } }) => attributed({ max: memory.max, high: memory.high, oom_kill: memory.oomKills }, 'event'),
  },
  {
    name: 'container.memory.paging.faults',
    prometheus: () => ({ name: 'container_memory_failures_total', labels: { failure_type: 'pgmajfault', scope: 'container' } }),
    kind: 'counter',
    unit: '{fault}',
    description: 'Page faults that read from a disk',
    points: ({ stats: { memory } }) => attributed({ major: memory.majorFaults }, 'system.paging.fault.type'),
  },
  {
    name: 'container.disk.io',
    prometheus: suffixed('disk.io.direction', { read: 'container_fs_reads_bytes_total', write: 'container_fs_writes_bytes_total' }),
    kind: 'counter',
    unit: 'By',
    description: 'Bytes from and to disks',
    points: ({ stats: { io } }) => attributed({ read: io?.read, write: io?.write }, 'disk.io.direction'),
  },
  {
    name: 'container.network.io',
    prometheus: suffixed(
      'network.io.direction',
      { receive: 'container_network_receive_bytes_total', transmit: 'container_network_transmit_bytes_total' },
      (attributes) => ({ interface: attributes['network.interface.name'] ?? '' }),
    ),
    kind: 'counter',
    unit: 'By',
    description: 'Bytes by interface',
    points: ({ stats: { network = {} } }) =>
      Object.entries(network).flatMap(([name, { received, sent }]) =>
        attributed({ receive: received, transmit: sent }, 'network.io.direction').map(({ value, attributes }) => ({
          value,
          attributes: { 'network.interface.name': name, ...attributes },
        })),
      ),
  },
  {
    name: 'nsjs.pids.current',
    prometheus: 'container_threads',
    kind: 'gauge',
    unit: '{thread}',
    description: 'Processes and threads',
    points: ({ stats: { pids } }) => one(pids.current),
  },
  {
    name: 'nsjs.pids.max',
    prometheus: 'container_threads_max',
    kind: 'gauge',
    unit: '{thread}',
    description: 'Limit of processes and threads',
    points: ({ stats: { pids } }) => one(pids.limit),
  },
  {
    name: 'nsjs.pids.refused',
    prometheus: 'nsjs_pids_refused_total',
    kind: 'counter',
    unit: '{fork}',
    description: 'Forks that the limit denied',
    points: ({ stats: { pids } }) => one(pids.refused),
  },
  {
    name: 'nsjs.pressure',
    prometheus: ({ attributes = {} }) => ({
      name: `container_pressure_${attributes.resource}_${attributes.kind === 'some' ? 'waiting' : 'stalled'}_seconds_total`,
    }),
    kind: 'counter',
    unit: 's',
    description: 'Time that some, or all, processes waited for a resource',
    points: ({ stats: { pressure = {} } }) =>
      Object.entries(pressure).flatMap(([resource, { some, full }]) =>
        attributed({ some: divided(some?.totalMs), full: divided(full?.totalMs) }, 'kind').map(({ value, attributes }) => ({
          value,
          attributes: { resource, ...attributes },
        })),
      ),
  },
  {
    name: 'container.uptime',
    prometheus: 'nsjs_uptime_seconds',
    kind: 'gauge',
    unit: 's',
    description: 'Time since the sandbox was opened',
    points: ({ openedAt, stats }) => seconds(stats.time - openedAt),
  },
];

function divided(value: number | undefined): number | undefined {
  return value === undefined ? undefined : value / ms;
}
