import { OptionError, OptionRangeError } from '../base/errors';
import { type Bytes, bare, parseArray, parseBoolean, parseBytes, parseInteger, parseObject, parseRecord, parseString } from '../base/parse';
import type { IoLimitSpec, LimitsSpec } from '../cgroup/limits';
import { checkQuota } from '../cgroup/settings';
import { type Context, feature } from './feature';
import { emitRlimit } from './rlimits';
import { countsPids } from './stand-ins';

/**
 * Limits on reads and writes of one disk. With version 1 of cgroups they apply only to I/O that bypasses the page cache
 * (O_DIRECT).
 */
export interface IoLimit {
  /** The disk: `'8:0'`, its device file, or any file or directory on it. */
  readonly device: string;
  /** Bytes per second. */
  readonly readBytes?: Bytes;
  readonly writeBytes?: Bytes;
  /** Operations per second. */
  readonly readOperations?: number;
  readonly writeOperations?: number;
}

/**
 * Resource limits of a sandbox, or of one program in a sandbox. If no cgroup can be created, `memory`, `swap`, `pids`,
 * `cpuTime` and `cpuWeight` are replaced by a weaker stand-in or left out, and the report says so. A limit marked
 * *cgroup* is an error in that case, unless option `cgroup` is `'prefer'`.
 */
export interface Limits {
  /**
   * Memory in bytes, including files in memory. If it is exceeded, the kernel kills processes (reason `oom`). Without a
   * cgroup: data of each process (RLIMIT_DATA).
   */
  readonly memory?: Bytes;
  /**
   * *cgroup*: Memory in bytes above which the processes are throttled and their memory is reclaimed. Version 2 only.
   */
  readonly memoryHigh?: Bytes;
  /** *cgroup*: Memory in bytes that is reclaimed last when the machine runs short of memory. Version 2 only. */
  readonly memoryLow?: Bytes;
  /** Swap in bytes, in addition to `memory`. Default 0 if `memory` is limited. */
  readonly swap?: Bytes | 0;
  /**
   * *cgroup*: Whether all processes are killed when one of them is killed for lack of memory. Default: true for a
   * one-shot run on version 2.
   */
  readonly oomGroup?: boolean;
  /**
   * Maximum number of processes and threads at a time. If it is exceeded, fork(2) fails with EAGAIN. Without a cgroup:
   * RLIMIT_NPROC. For a caller without a user namespace this is the number of the user's processes at the start of the
   * program plus `pids`; it is approximate and applies to each program separately.
   */
  readonly pids?: number;
  /** *cgroup*: CPU time in CPUs: 0.5 is half of one CPU, 2 is two CPUs. */
  readonly cpu?: number;
  /**
   * *cgroup*: Period in ms over which `cpu` is enforced, 1 to 1000. `cpu` must amount to at least 1 ms of it. Default
   * 100.
   */
  readonly cpuPeriod?: number;
  /** *cgroup*: Unused CPU time in ms that may be accumulated and used in a later period. Linux 5.14. */
  readonly cpuBurst?: number;
  /**
   * Relative weight when CPUs are contended, 1 to 10,000; every other cgroup has 100. Without a cgroup it is left out
   * and reported.
   */
  readonly cpuWeight?: number;
  /** *cgroup*: CPUs that the processes may run on, by number: `[0, 1]` or `'0-3,8'`. */
  readonly cpus?: readonly number[] | string;
  /** *cgroup*: Memory nodes that memory may be allocated from, in the same forms. */
  readonly memoryNodes?: readonly number[] | string;
  /** *cgroup*: Limits on reads and writes, by disk. */
  readonly io?: readonly IoLimit[];
  /**
   * *cgroup*: Relative weight when disks are contended, 1 to 10,000; every other cgroup has 100. Requires an I/O
   * scheduler with weights, such as bfq.
   */
  readonly ioWeight?: number;
  /** *cgroup*: Huge pages in bytes, by page size: `{'2MB': '64M'}`. */
  readonly hugetlb?: Readonly<Record<string, Bytes | 0>>;
  /**
   * *cgroup*: Values to write to files of the cgroup, as `linux.resources.unified` of the OCI runtime spec. Version 2
   * only.
   */
  readonly unified?: Readonly<Record<string, string>>;
  /**
   * CPU time in ms of all processes together, after which they are killed (reason `timeout`). Without a cgroup: this
   * process monitors the sum, and RLIMIT_CPU limits each process one to two seconds later.
   */
  readonly cpuTime?: number;
  /**
   * Wall-clock time in ms after which the processes are killed (reason `timeout`), regardless of what they or this
   * process do.
   */
  readonly wallTime?: number;
  /** Time in ms without any CPU usage after which the processes are killed (reason `timeout`). */
  readonly idle?: number;
  /** Maximum size in bytes of a file that a process writes (RLIMIT_FSIZE). */
  readonly fileSize?: Bytes;
  /** Maximum number of descriptors of each process (RLIMIT_NOFILE). */
  readonly openFiles?: number;
}

export interface LimitsOptions {
  /** Resource limits. */
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

/** Parses limits. Throws OptionError or OptionRangeError. */
export function parseLimits(value: unknown, at: string): LimitsSpec {
  const given = parseObject(value, at, names);
  const parsed = names.filter((name) => given[name] !== undefined).map((name) => [name, parsers[name](given[name], `${at}.${name}`)]);
  const limits = bare(Object.fromEntries(parsed) as LimitsSpec);
  for (const name of ['cpuPeriod', 'cpuBurst'] as const)
    if (limits[name] !== undefined && limits.cpu === undefined) throw new OptionError(`${at}.${name}`, 'requires option cpu as well');
  checkQuota(limits, at);
  return limits;
}

// Since Node 24, V8 makes 512 MiB of address space writable without using it. RLIMIT_DATA counts it, so Node would not
// start.
const unusedData = Number.parseInt(process.versions.node, 10) >= 24 ? 640 * 2 ** 20 : 0;

export const limits = feature({
  key: 'limits',
  scope: 'program',
  parse: (value = {}, at): LimitsSpec => parseLimits(value, at),
  emit(plan, spec, context) {
    const { memory, pids, cpuTime, fileSize, openFiles } = spec.limits;
    const { cpu: ofEach } = spec.rlimits;
    const both = (value: number) => ({ soft: value, hard: value });
    if (fileSize !== undefined) emitRlimit(plan, 'limits.fileSize', 'fsize', both(fileSize));
    if (openFiles !== undefined) emitRlimit(plan, 'limits.openFiles', 'nofile', both(openFiles));
    if (cpuTime !== undefined && !countsCpuTime(context)) {
      // This process, which sums up the CPU time, must act first, because it can report the reason.
      const seconds = Math.ceil(cpuTime / 1000) + 1;
      const { soft = seconds, hard = seconds + 1 } = ofEach ?? bare<{ soft?: number; hard?: number }>({});
      emitRlimit(plan, 'limits.cpuTime', 'cpu', { soft: Math.min(seconds, soft), hard: Math.min(seconds + 1, hard) });
    } else if (cpuTime !== undefined && ofEach) emitRlimit(plan, 'rlimits.cpu', 'cpu', ofEach);
    if (context.cgroups.version !== undefined) return;
    // If `rlimits` also limits each process, the lower limit applies.
    const tighter = (name: 'data' | 'nproc', value: number) => {
      const { soft = value, hard = value } = spec.rlimits[name] ?? bare<{ soft?: number; hard?: number }>({});
      return { soft: Math.min(value, soft), hard: Math.min(value, hard) };
    };
    if (memory !== undefined) emitRlimit(plan, 'limits.memory', 'data', tighter('data', memory + unusedData));
    if (pids === undefined) return;
    if (countsPids(spec, context.hostId)) emitRlimit(plan, 'limits.pids', 'nproc', tighter('nproc', pids));
    // The kernel does not apply RLIMIT_NPROC to root of the host. Then the limit is dropped and reported.
    else plan.optional('program', () => plan.op('program', 'limits.pids', 'NprocAbove', pids));
  },
});

/** Returns whether a cgroup counts the CPU time of all processes together. */
const countsCpuTime = ({ cgroups, ownLimits, group }: Pick<Context, 'cgroups' | 'ownLimits' | 'group'>): boolean =>
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
    throw new OptionError(at, 'sets no limit: give readBytes, writeBytes, readOperations or writeOperations');
  return spec as unknown as IoLimitSpec;
}

function parseHugetlb(value: unknown, at: string): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(parseRecord(value, at)).map(([size, bytes]) => {
      if (!/^\d+[KMG]B$/.test(size)) throw new OptionError(`${at}.${size}`, "expected a page size such as '2MB'");
      return [size, parseBytes(bytes, `${at}.${size}`, 0)];
    }),
  );
}

// Only nsjs writes the files that could move processes out of the cgroup or remove its limits.
const ownFiles = /^cgroup\.(procs|threads|kill|freeze|subtree_control|type)$/;

function parseUnified(value: unknown, at: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(parseRecord(value, at)).map(([file, text]) => {
      if (!/^[a-z_]+(\.[A-Za-z0-9_]+)+$/.test(file))
        throw new OptionError(`${at}.${file}`, "expected the name of a cgroup file such as 'memory.high'");
      if (ownFiles.test(file)) throw new OptionError(`${at}.${file}`, 'is a file that only nsjs may write');
      return [file, parseString(text, `${at}.${file}`)];
    }),
  );
}

declare module './spec' {
  interface Spec {
    readonly limits: ReturnType<(typeof limits)['parse']>;
  }
}
