import { OptionError, OptionRangeError } from '../base/errors';
import { type Bytes, bare, parseArray, parseBoolean, parseBytes, parseInteger, parseObject, parseRecord, parseString } from '../base/parse';
import type { IoLimitSpec, LimitsSpec } from '../cgroup/limits';
import { checkQuota } from '../cgroup/settings';
import { feature, type Scene } from './feature';
import { emitRlimit } from './rlimits';
import { countsPids } from './stand-ins';

/** What may be read from and written to one disk; on cgroups of version 1 only what bypasses the page cache (O_DIRECT). */
export interface IoLimit {
  /** The disk: `'8:0'`, its device file, or any file or directory on it. */
  readonly device: string;
  /** Bytes in a second. */
  readonly readBytes?: Bytes;
  readonly writeBytes?: Bytes;
  /** Operations in a second. */
  readonly readOperations?: number;
  readonly writeOperations?: number;
}

/**
 * What a sandbox, or one program of a sandbox, may use. `memory`, `swap`, `pids`, `cpuTime` and `cpuWeight` have a weaker stand-in, or are left out,
 * where no cgroup can be made, and the report says so. What says *cgroup* is an error there, unless option `cgroup` is `'prefer'`.
 */
export interface Limits {
  /** Memory in bytes, files in memory included. Past it the kernel ends it (reason `oom`). Without a cgroup: data of each process (RLIMIT_DATA). */
  readonly memory?: Bytes;
  /** *cgroup*: Memory in bytes past which it is slowed down and its memory taken back. Version 2. */
  readonly memoryHigh?: Bytes;
  /** *cgroup*: Memory in bytes that is taken back last when the machine runs short. Version 2. */
  readonly memoryLow?: Bytes;
  /** Swap beside `memory` in bytes. Default 0 where there is a limit of memory. */
  readonly swap?: Bytes | 0;
  /** *cgroup*: Whether all of it ends when one of its processes does for lack of memory. Default: yes for a single run on version 2. */
  readonly oomGroup?: boolean;
  /**
   * Processes and threads at a time; past it fork(2) fails with EAGAIN. Without a cgroup: RLIMIT_NPROC; for a user without a user namespace that
   * is what the user has when the program starts and as many more, so it holds approximately, for each program by itself.
   */
  readonly pids?: number;
  /** *cgroup*: CPUs' worth of time: 0.5 is half of one, 2 is two whole ones. */
  readonly cpu?: number;
  /** *cgroup*: ms over which `cpu` is counted, 1 to 1000; `cpu` must be 1 ms of it at least. Default 100. */
  readonly cpuPeriod?: number;
  /** *cgroup*: CPU time in ms that may be saved up in quiet periods and spent in a busy one. Linux 5.14. */
  readonly cpuBurst?: number;
  /** Its share where CPUs are fought for, 1 to 10,000; every other group has 100. Left out, and told, where there is no cgroup. */
  readonly cpuWeight?: number;
  /** *cgroup*: CPUs it may run on, by number: `[0, 1]` or `'0-3,8'`. */
  readonly cpus?: readonly number[] | string;
  /** *cgroup*: Memory nodes it may take memory from, in the same forms. */
  readonly memoryNodes?: readonly number[] | string;
  /** *cgroup*: What it may read and write, by disk. */
  readonly io?: readonly IoLimit[];
  /** *cgroup*: Its share where disks are fought for, 1 to 10,000; every other group has 100. Needs a scheduler that has weights, such as bfq. */
  readonly ioWeight?: number;
  /** *cgroup*: Huge pages in bytes, by their size: `{'2MB': '64M'}`. */
  readonly hugetlb?: Readonly<Record<string, Bytes | 0>>;
  /** *cgroup*: Files of the group and what is written to them, as OCI's `linux.resources.unified`. Version 2. */
  readonly unified?: Readonly<Record<string, string>>;
  /** CPU time in ms of all its processes together, and then it is killed (reason `timeout`). Without a cgroup: watched by this process, and of each process, a second or two later, RLIMIT_CPU. */
  readonly cpuTime?: number;
  /** Wall-clock time in ms after which it is killed (reason `timeout`), whatever it does and this process does. */
  readonly wallTime?: number;
  /** ms without any CPU time used after which it is killed (reason `timeout`). */
  readonly idle?: number;
  /** Size of a file it writes, in bytes (RLIMIT_FSIZE). */
  readonly fileSize?: Bytes;
  /** Descriptors of each process (RLIMIT_NOFILE). */
  readonly openFiles?: number;
}

export interface LimitsOptions {
  /** What it may use. */
  readonly limits?: Limits;
}

const maxPids = 4_194_304;
const minMemory = 2 ** 20;
const maxTime = 2 ** 31 - 1;
const maxWeight = 10_000;
const maxCpus = 8192;

const weight = (value: unknown, at: string) => parseInteger(value, at, 1, maxWeight);
const time = (value: unknown, at: string) => parseInteger(value, at, 1, maxTime);

const parsers: { readonly [K in keyof LimitsSpec]-?: (value: unknown, at: string) => NonNullable<LimitsSpec[K]> } = {
  memory: (value, at) => parseBytes(value, at, minMemory),
  memoryHigh: (value, at) => parseBytes(value, at, minMemory),
  memoryLow: (value, at) => parseBytes(value, at, 0),
  swap: (value, at) => parseBytes(value, at, 0),
  oomGroup: parseBoolean,
  pids: (value, at) => parseInteger(value, at, 1, maxPids),
  cpu: parseCpu,
  cpuPeriod: (value, at) => parseInteger(value, at, 1, 1000),
  cpuBurst: (value, at) => parseInteger(value, at, 0, maxTime / 1000),
  cpuWeight: weight,
  cpus: parseList,
  memoryNodes: parseList,
  io: (value, at) => parseArray(value, at).map((entry, index) => parseIo(entry, `${at}[${index}]`)),
  ioWeight: weight,
  hugetlb: parseHugetlb,
  unified: parseUnified,
  cpuTime: time,
  wallTime: time,
  idle: time,
  fileSize: (value, at) => parseBytes(value, at, 0),
  openFiles: (value, at) => parseInteger(value, at, 16, 2 ** 20),
};

const names = Object.keys(parsers) as (keyof LimitsSpec)[];

/** Reads limits. Throws OptionError or OptionRangeError. */
export function parseLimits(value: unknown, at: string): LimitsSpec {
  const given = parseObject(value, at, names);
  const parsed = names.filter((name) => given[name] !== undefined).map((name) => [name, parsers[name](given[name], `${at}.${name}`)]);
  const limits = bare(Object.fromEntries(parsed) as LimitsSpec);
  for (const name of ['cpuPeriod', 'cpuBurst'] as const)
    if (limits[name] !== undefined && limits.cpu === undefined) throw new OptionError(`${at}.${name}`, 'needs cpu beside it');
  checkQuota(limits, at);
  return limits;
}

// From Node 24 on V8 makes 512 MiB of address space writable that it does not use: RLIMIT_DATA counts them, and Node would not start.
const unusedData = Number.parseInt(process.versions.node, 10) >= 24 ? 640 * 2 ** 20 : 0;

export const limits = feature({
  key: 'limits',
  scope: 'program',
  parse: (value = {}, at): LimitsSpec => parseLimits(value, at),
  emit(plan, spec, scene) {
    const { memory, pids, cpuTime, fileSize, openFiles } = spec.limits;
    const { cpu: ofEach } = spec.rlimits;
    const both = (value: number) => ({ soft: value, hard: value });
    if (fileSize !== undefined) emitRlimit(plan, 'limits.fileSize', 'fsize', both(fileSize));
    if (openFiles !== undefined) emitRlimit(plan, 'limits.openFiles', 'nofile', both(openFiles));
    if (cpuTime !== undefined && !countsCpuTime(scene)) {
      // Whoever adds the processes up is to be first: it knows why.
      const seconds = Math.ceil(cpuTime / 1000) + 1;
      const { soft = seconds, hard = seconds + 1 } = ofEach ?? bare<{ soft?: number; hard?: number }>({});
      emitRlimit(plan, 'limits.cpuTime', 'cpu', { soft: Math.min(seconds, soft), hard: Math.min(seconds + 1, hard) });
    } else if (cpuTime !== undefined && ofEach) emitRlimit(plan, 'rlimits.cpu', 'cpu', ofEach);
    if (scene.cgroups.version !== undefined) return;
    // Beside what the caller asked for of each process the tighter one holds.
    const tighter = (name: 'data' | 'nproc', value: number) => {
      const { soft = value, hard = value } = spec.rlimits[name] ?? bare<{ soft?: number; hard?: number }>({});
      return { soft: Math.min(value, soft), hard: Math.min(value, hard) };
    };
    if (memory !== undefined) emitRlimit(plan, 'limits.memory', 'data', tighter('data', memory + unusedData));
    if (pids === undefined) return;
    if (countsPids(spec, scene.hostId)) emitRlimit(plan, 'limits.pids', 'nproc', tighter('nproc', pids));
    // The kernel does not apply RLIMIT_NPROC to root of the host. Then the limit is dropped and reported.
    else plan.optional('program', () => plan.op('program', 'limits.pids', 'NprocAbove', pids));
  },
});

/** Whether a cgroup tells the CPU time of all processes together. */
export const countsCpuTime = ({ cgroups, ownLimits, group }: Pick<Scene, 'cgroups' | 'ownLimits' | 'group'>): boolean =>
  (ownLimits?.cpuTime === undefined ? cgroups.cpuUsage : group?.usageFd) !== undefined;

function parseCpu(value: unknown, at: string): number {
  if (typeof value === 'number' && value >= 0.01 && value <= maxCpus) return value;
  if (typeof value !== 'number') throw new OptionError(at, `expected a number of CPUs, received ${typeof value}`, 'ERR_INVALID_ARG_TYPE');
  throw new OptionRangeError(at, `expected 0.01 to ${maxCpus} CPUs, received ${value}`);
}

function parseList(value: unknown, at: string): string {
  if (typeof value === 'string') {
    if (/^\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*$/.test(value)) return value;
    throw new OptionError(at, `expected numbers or ranges like '0-3,8', received '${value}'`);
  }
  const list = parseArray(value, at).map((entry, index) => parseInteger(entry, `${at}[${index}]`, 0, maxCpus));
  if (list.length === 0) throw new OptionError(at, 'expected at least one number');
  return list.join(',');
}

function parseIo(value: unknown, at: string): IoLimitSpec {
  const given = parseObject(value, at, ['device', 'readBytes', 'writeBytes', 'readOperations', 'writeOperations']);
  const device = parseString(given.device, `${at}.device`);
  if (!/^(\/|\d+:\d+$)/.test(device))
    throw new OptionError(`${at}.device`, `expected an absolute path or 'major:minor', received '${device}'`);
  const spec: Record<string, string | number> = { device };
  for (const name of ['readBytes', 'writeBytes'] as const)
    if (given[name] !== undefined) spec[name] = parseBytes(given[name], `${at}.${name}`);
  for (const name of ['readOperations', 'writeOperations'] as const)
    if (given[name] !== undefined) spec[name] = parseInteger(given[name], `${at}.${name}`, 1);
  if (Object.keys(spec).length === 1)
    throw new OptionError(at, 'limits nothing: name readBytes, writeBytes, readOperations or writeOperations');
  return spec as unknown as IoLimitSpec;
}

function parseHugetlb(value: unknown, at: string): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(parseRecord(value, at)).map(([size, bytes]) => {
      if (!/^\d+[KMG]B$/.test(size)) throw new OptionError(`${at}.${size}`, "expected a size of pages like '2MB'");
      return [size, parseBytes(bytes, `${at}.${size}`, 0)];
    }),
  );
}

// What would take its processes out of the group, or the limits off it, is nsjs's own.
const ownFiles = /^cgroup\.(procs|threads|kill|freeze|subtree_control|type)$/;

function parseUnified(value: unknown, at: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(parseRecord(value, at)).map(([file, text]) => {
      if (!/^[a-z_]+(\.[A-Za-z0-9_]+)+$/.test(file))
        throw new OptionError(`${at}.${file}`, "expected a file of a cgroup like 'memory.high'");
      if (ownFiles.test(file)) throw new OptionError(`${at}.${file}`, 'is written by nsjs itself');
      return [file, parseString(text, `${at}.${file}`)];
    }),
  );
}

declare module './spec' {
  interface Spec {
    readonly limits: ReturnType<(typeof limits)['parse']>;
  }
}
