import { join } from 'node:path';
import { type Bytes, parseBytes, parseInteger, parseObject, parseOneOf } from '../parse';
import { noSlot, type PlanWriter } from '../plan/writer';
import { type Cgroups, feature, type Scene, type Step } from './feature';
import type { Spec } from './index';
import { isHostUser } from './namespaces';
import { emitRlimit } from './rlimits';

export interface LimitsOptions {
  /** What the sandbox may use. Past `memory` the kernel ends it (reason `oom`); past `pids` fork(2) fails with EAGAIN. */
  readonly limits?: {
    /** Memory of the whole sandbox in bytes, its files in memory included. Without a cgroup: data of each process (RLIMIT_DATA). */
    readonly memory?: Bytes;
    /** Swap beside it in bytes. */
    readonly swap?: Bytes | 0;
    /** Processes and threads at a time. */
    readonly pids?: number;
    /** CPU time of each process in ms, rounded up to seconds: SIGXCPU, a second later SIGKILL (RLIMIT_CPU). */
    readonly cpuTime?: number;
    /** Size of a file it writes, in bytes (RLIMIT_FSIZE). */
    readonly fileSize?: Bytes;
    /** Descriptors of each process (RLIMIT_NOFILE). */
    readonly openFiles?: number;
    /** Wall-clock time in ms after which it is killed at once (reason `timeout`). */
    readonly wallTime?: number;
  };
}

export interface LimitsSpec {
  readonly memory?: number;
  readonly swap?: number;
  readonly pids?: number;
  readonly cpuTime?: number;
  readonly fileSize?: number;
  readonly openFiles?: number;
  readonly wallTime?: number;
}

export interface CgroupOptions {
  /**
   * Whether a control group must enforce `limits.memory`, `swap` and `pids`, cgroups(7) version 1 or 2. `'require'`: an
   * error where none can be made. `'prefer'` (default): RLIMIT_DATA and RLIMIT_NPROC instead, and the report says so.
   * `'off'`: these at once.
   */
  readonly cgroup?: 'require' | 'prefer' | 'off';
}

export type CgroupSpec = NonNullable<CgroupOptions['cgroup']>;

const maxPids = 4_194_304;
const minMemory = 2 ** 20;
const maxTime = 2 ** 31 - 1;

const parsers: { readonly [K in keyof LimitsSpec]-?: (value: unknown, at: string) => number } = {
  memory: (value, at) => parseBytes(value, at, minMemory),
  swap: (value, at) => parseBytes(value, at, 0),
  pids: (value, at) => parseInteger(value, at, 1, maxPids),
  cpuTime: (value, at) => parseInteger(value, at, 1),
  fileSize: (value, at) => parseBytes(value, at, 0),
  openFiles: (value, at) => parseInteger(value, at, 16, 2 ** 20),
  wallTime: (value, at) => parseInteger(value, at, 1, maxTime),
};

const names = Object.keys(parsers) as (keyof LimitsSpec)[];

export const limits = feature({
  key: 'limits',
  scope: 'program',
  parse(value = {}, at): LimitsSpec {
    const given = parseObject(value, at, names);
    const parsed = names.filter((name) => given[name] !== undefined).map((name) => [name, parsers[name](given[name], `${at}.${name}`)]);
    return Object.fromEntries(parsed) as LimitsSpec;
  },
  emit(plan, spec, { cgroups, hostId }) {
    const { memory, pids, cpuTime, fileSize, openFiles } = spec.limits;
    const both = (value: number) => ({ soft: value, hard: value });
    if (fileSize !== undefined) emitRlimit(plan, 'limits.fileSize', 'fsize', both(fileSize));
    if (openFiles !== undefined) emitRlimit(plan, 'limits.openFiles', 'nofile', both(openFiles));
    if (cpuTime !== undefined) {
      const seconds = Math.ceil(cpuTime / 1000);
      emitRlimit(plan, 'limits.cpuTime', 'cpu', { soft: seconds, hard: seconds + 1 });
    }
    if (cgroups.version !== undefined) return;
    if (memory !== undefined) emitRlimit(plan, 'limits.memory', 'data', both(memory));
    if (pids !== undefined && countsPids(spec, hostId)) emitRlimit(plan, 'limits.pids', 'nproc', both(pids));
  },
});

/** RLIMIT_NPROC counts by user: of a sandbox alone only where it has a user, or a user namespace, of its own. */
export const countsPids = (spec: Spec, hostId: number | undefined): boolean => hostId !== undefined || !isHostUser(spec);

/** Makes the sandbox's control groups before it exists, so that its first instruction is limited. */
export const cgroup = feature({
  key: 'cgroup',
  parse: (value = 'prefer', at): CgroupSpec => parseOneOf(value, at, ['require', 'prefer', 'off']),
  emit(plan, spec, scene) {
    if (scene.cgroups.version === 1) emitVersion1(plan, spec, scene);
    if (scene.cgroups.version === 2) emitVersion2(plan, spec, scene);
  },
});

/** Init enters its groups as the first thing it does: 30 µs, where another process moving it would take 10 ms (version 1). */
export const joinCgroup: Step = {
  emit(plan, _spec, { cgroups }) {
    if (cgroups.version !== 1) return;
    for (const [controller, slot] of joined(plan, cgroups)) plan.op('inside', `cgroup.${controller}`, 'WriteFd', slot, '0');
  },
};

/** Files of a control group whose last words the result needs; they are read before it is removed. */
const lastWords = {
  1: { memory: ['memory.oom_control', 'memory.max_usage_in_bytes'], pids: ['pids.events'] },
  2: { memory: ['memory.events', 'memory.peak', 'pids.events', 'pids.peak'], pids: [] },
} as const;

function emitVersion1(plan: PlanWriter, spec: Spec, { cgroups }: Scene): void {
  const { memory, swap = 0, pids } = spec.limits;
  const set = (controller: 'memory' | 'pids', file: string, value: number) =>
    plan.op('host', `limits.${controller}`, 'WriteFile', noSlot, join(cgroups.folders[controller] ?? '', file), `${value}`);
  for (const folder of Object.values(cgroups.folders)) plan.op('host', 'cgroup', 'MakeDir', noSlot, folder, 0o755);
  if (memory !== undefined) {
    set('memory', 'memory.limit_in_bytes', memory);
    if (cgroups.swapAccounting) set('memory', 'memory.memsw.limit_in_bytes', memory + swap);
  }
  // init counts as one
  if (pids !== undefined) set('pids', 'pids.max', pids + 1);
  for (const [controller, slot] of joined(plan, cgroups)) {
    plan.op('host', 'cgroup', 'Open', slot, noSlot, join(cgroups.folders[controller] ?? '', 'tasks'), 1);
  }
  emitAfter(plan, cgroups, 1);
}

function emitVersion2(plan: PlanWriter, spec: Spec, { cgroups }: Scene): void {
  const { memory, swap = 0, pids } = spec.limits;
  const folder = cgroups.folders.memory ?? '';
  const set = (file: string, value: string) => plan.op('host', 'limits', 'WriteFile', noSlot, join(folder, file), value);
  plan.op('host', 'cgroup', 'MakeDir', noSlot, folder, 0o755);
  if (memory !== undefined) {
    set('memory.max', `${memory}`);
    plan.optional('host', () => set('memory.swap.max', `${swap}`));
    set('memory.oom.group', '1');
  }
  if (pids !== undefined) set('pids.max', `${pids + 1}`);
  plan.cgroup = plan.slot('cgroup');
  plan.op('host', 'cgroup', 'Open', plan.cgroup, noSlot, folder, 0o10200000 /* O_PATH | O_DIRECTORY */);
  emitAfter(plan, cgroups, 2);
}

function emitAfter(plan: PlanWriter, { folders }: Cgroups, version: 1 | 2): void {
  for (const controller of ['memory', 'pids'] as const) {
    for (const file of lastWords[version][controller]) {
      plan.optional('after', () => plan.op('after', 'cgroup', 'ReadFile', join(folders[controller] ?? '', file)));
    }
  }
  for (const folder of new Set(Object.values(folders))) plan.op('after', 'cgroup', 'RemoveDir', folder);
}

function joined(plan: PlanWriter, { folders }: Cgroups) {
  const controllers = Object.keys(folders) as ('memory' | 'pids')[];
  return controllers.map((controller) => [controller, plan.shared(`cgroup ${controller}`, () => plan.slot('cgroup'))] as const);
}
