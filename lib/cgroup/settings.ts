import { OptionRangeError } from '../base/errors';
import { bare } from '../base/parse';
import type { Controller } from './layout';
import type { LimitsSpec } from './limits';

/** A value to write to one file of a cgroup. */
export interface Setting {
  readonly controller: Controller;
  readonly file: string;
  readonly value: string;
  /** The option that the setting comes from: `limits.memory`. */
  readonly origin: string;
  /** The setting is left out, and reported as dropped, if the kernel refuses it. */
  readonly optional?: true;
}

/** Properties of a cgroup that its settings depend on, besides the limits. */
export interface GroupKind {
  readonly version: 1 | 2;
  /** Version 1 counts memory and swap together. */
  readonly swapAccounting: boolean;
  /** Number of processes of nsjs in the cgroup (init). */
  readonly ownProcesses: number;
}

const msToUs = 1000;
const defaultPeriodMs = 100;
const minQuotaMs = 1;
const sharesOfWeight = 10.24; // Weight 100 equals 1024 shares, the default of a cgroup.
const maxShares = 262_144;

/**
 * Returns the settings that enforce `limits` for a cgroup, in the order in which they must be written. Pure. The file
 * names are those of the kernel's admin-guide/cgroup-v2 and admin-guide/cgroup-v1.
 */
export function settingsOf(limits: LimitsSpec, kind: GroupKind): readonly Setting[] {
  return kind.version === 2 ? settingsOf2(limits, kind) : settingsOf1(limits, kind);
}

/** Returns the controllers that are needed to enforce `limits`. */
export function controllersFor(limits: LimitsSpec): readonly Controller[] {
  return [...new Set(settingsOf2(limits, { version: 2, swapAccounting: true, ownProcesses: 0 }).map(({ controller }) => controller))];
}

type Add = (controller: Controller, option: string, file: string, value: string | number | undefined, optional?: true) => void;

function collect(write: (add: Add) => void): readonly Setting[] {
  const settings: Setting[] = [];
  write((controller, option, file, value, optional) => {
    if (value === undefined) return;
    settings.push(bare({ controller, file, value: `${value}`, origin: `limits.${option}`, ...(optional ? { optional } : {}) }));
  });
  return settings;
}

/** Throws an OptionRangeError if the quota, `cpu` times `cpuPeriod`, is less than the kernel's minimum of 1 ms. */
export function checkQuota(limits: LimitsSpec, at: string): void {
  const { cpu, cpuPeriod } = limits;
  if (cpu !== undefined && cpuPeriod !== undefined && Math.round(cpu * cpuPeriod * msToUs) < minQuotaMs * msToUs)
    throw new OptionRangeError(
      `${at}.cpuPeriod`,
      `cpu ${cpu} of a period of ${cpuPeriod} ms is less than ${minQuotaMs} ms, the kernel's minimum; use a longer period`,
    );
}

const quotaOf = (limits: LimitsSpec): number | undefined =>
  limits.cpu === undefined ? undefined : Math.round(limits.cpu * periodOf(limits));
const periodOf = ({ cpuPeriod = defaultPeriodMs }: LimitsSpec): number => cpuPeriod * msToUs;

function settingsOf2(limits: LimitsSpec, { ownProcesses }: GroupKind): readonly Setting[] {
  const { memory, memoryHigh, memoryLow, swap, pids, cpuBurst, cpuWeight, cpus, memoryNodes, io = [], ioWeight } = limits;
  const quota = quotaOf(limits);
  return collect((add) => {
    add('memory', 'memory', 'memory.max', memory);
    if (memory !== undefined || swap !== undefined) add('memory', 'swap', 'memory.swap.max', swap ?? 0, true);
    add('memory', 'memoryHigh', 'memory.high', memoryHigh);
    add('memory', 'memoryLow', 'memory.low', memoryLow);
    if (limits.oomGroup !== undefined) add('memory', 'oomGroup', 'memory.oom.group', limits.oomGroup ? 1 : 0);
    if (pids !== undefined) add('pids', 'pids', 'pids.max', pids + ownProcesses);
    if (quota !== undefined) add('cpu', 'cpu', 'cpu.max', `${quota} ${periodOf(limits)}`);
    if (cpuBurst !== undefined) add('cpu', 'cpuBurst', 'cpu.max.burst', cpuBurst * msToUs);
    add('cpu', 'cpuWeight', 'cpu.weight', cpuWeight, true);
    add('cpuset', 'cpus', 'cpuset.cpus', cpus);
    add('cpuset', 'memoryNodes', 'cpuset.mems', memoryNodes);
    if (ioWeight !== undefined) add('io', 'ioWeight', 'io.weight', `default ${ioWeight}`);
    for (const [index, { device, readBytes, writeBytes, readOperations, writeOperations }] of io.entries()) {
      const parts = { rbps: readBytes, wbps: writeBytes, riops: readOperations, wiops: writeOperations };
      const text = Object.entries(parts).map(([name, value]) => `${name}=${value ?? 'max'}`);
      add('io', `io[${index}]`, 'io.max', `${device} ${text.join(' ')}`);
    }
    for (const [size, bytes] of Object.entries(limits.hugetlb ?? {})) add('hugetlb', `hugetlb.${size}`, `hugetlb.${size}.max`, bytes);
    for (const [file, value] of Object.entries(limits.unified ?? {})) add(controllerOf(file), `unified.${file}`, file, value);
  });
}

const controllerOf = (file: string): Controller => {
  const name = file.slice(0, file.indexOf('.'));
  return name === 'cgroup' ? 'memory' : (name as Controller);
};

const mostTcpMemory = 32 * 2 ** 20;
const tcpShare = 8;

/** Returns the limit in bytes for TCP and UDP buffers that goes with a memory limit on version 1. */
export const tcpMemory = (memory: number): number => Math.min(mostTcpMemory, Math.floor(memory / tcpShare));

function settingsOf1(limits: LimitsSpec, { swapAccounting, ownProcesses }: GroupKind): readonly Setting[] {
  const { memory, swap = 0, pids, cpuBurst, cpuWeight, cpus, memoryNodes, io = [], ioWeight } = limits;
  const quota = quotaOf(limits);
  return collect((add) => {
    add('memory', 'memory', 'memory.limit_in_bytes', memory);
    if (swapAccounting && memory !== undefined) add('memory', 'swap', 'memory.memsw.limit_in_bytes', memory + swap);
    // Version 1 counts TCP and UDP buffers separately from all other memory.
    if (memory !== undefined) add('memory', 'memory', 'memory.kmem.tcp.limit_in_bytes', tcpMemory(memory), true);
    if (pids !== undefined) add('pids', 'pids', 'pids.max', pids + ownProcesses);
    if (quota !== undefined) {
      add('cpu', 'cpu', 'cpu.cfs_period_us', periodOf(limits));
      add('cpu', 'cpu', 'cpu.cfs_quota_us', quota);
    }
    if (cpuBurst !== undefined) add('cpu', 'cpuBurst', 'cpu.cfs_burst_us', cpuBurst * msToUs);
    if (cpuWeight !== undefined)
      add('cpu', 'cpuWeight', 'cpu.shares', Math.min(maxShares, Math.max(2, Math.round(cpuWeight * sharesOfWeight))), true);
    add('cpuset', 'cpus', 'cpuset.cpus', cpus);
    add('cpuset', 'memoryNodes', 'cpuset.mems', memoryNodes);
    add('io', 'ioWeight', 'blkio.bfq.weight', ioWeight);
    for (const [index, { device, readBytes, writeBytes, readOperations, writeOperations }] of io.entries()) {
      const files = { read_bps: readBytes, write_bps: writeBytes, read_iops: readOperations, write_iops: writeOperations };
      // 0 means no limit.
      for (const [name, value = 0] of Object.entries(files))
        add('io', `io[${index}]`, `blkio.throttle.${name}_device`, `${device} ${value}`);
    }
    for (const [size, bytes] of Object.entries(limits.hugetlb ?? {}))
      add('hugetlb', `hugetlb.${size}`, `hugetlb.${size}.limit_in_bytes`, bytes);
  });
}

/**
 * Returns the options in `limits` that version 1 cannot enforce. `nested`: for a cgroup that is created, or changed,
 * while its sandbox runs.
 */
export function onlyVersion2(limits: LimitsSpec, nested = false): readonly (keyof LimitsSpec)[] {
  const names = (['memoryHigh', 'memoryLow', 'unified'] as const).filter((key) => limits[key] !== undefined);
  return [
    ...names,
    // On version 1 the launcher watches for OOM kills, only in the cgroup of the whole sandbox and from its start.
    ...(nested && limits.oomGroup ? (['oomGroup'] as const) : []),
    // Version 1 only limits the sum of memory and swap.
    ...(limits.swap !== undefined && limits.memory === undefined ? (['swap'] as const) : []),
  ];
}
