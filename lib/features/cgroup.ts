import { join } from 'node:path';
import { OptionError } from '../base/errors';
import { parseObject, parseOneOf, parseString } from '../base/parse';
import { controllers, directoriesOf, type GroupDirectories } from '../cgroup/layout';
import { type LimitsSpec, noLimits } from '../cgroup/limits';
import { type GroupKind, settingsOf } from '../cgroup/settings';
import { pathDirectory } from '../native/open-flags';
import { noSlot } from '../plan/operation';
import type { PlanWriter } from '../plan/writer';
import { type Cgroups, type Context, feature, type Step } from './feature';

/** Specifies whether cgroups must enforce limits, and where they are created. */
export interface CgroupPlace {
  /** Default `'require'`. */
  readonly level?: 'require' | 'prefer';
  /**
   * The cgroup below which the sandboxes' cgroups are created, as a path below the mount point of each hierarchy:
   * `'/nsjs.slice/web'`. It is created if it is missing, and is not removed. Default: a cgroup that this process may
   * write to, at or above its own.
   */
  readonly parent?: string;
}

export interface CgroupOptions {
  /**
   * Whether a cgroup must enforce {@link Limits}, cgroups(7) version 1 or 2. `'require'`: an error if none can be
   * created. `'prefer'`: limits that no cgroup can enforce are left out and listed in the report. Default: as
   * `'prefer'` for `memory`, `swap`, `pids`, `cpuTime` and `cpuWeight`, as `'require'` for every other limit that needs
   * a cgroup. `'off'`: no cgroup enforces a limit; a cgroup without limits may still be created to pause the sandbox
   * and to count its CPU time. This process is never moved to another cgroup.
   */
  readonly cgroup?: 'require' | 'prefer' | 'off' | CgroupPlace;
}

export interface CgroupSpec {
  readonly level: 'require' | 'prefer' | 'default' | 'off';
  readonly parent?: string;
}

/** Creates the sandbox's cgroups before the sandbox exists, so that its first instruction is already limited. */
export const cgroup = feature({
  key: 'cgroup',
  parse: parseCgroup,
  emit(plan, _spec, context) {
    const { version } = context.cgroups;
    if (version !== undefined) plan.marked('cgroup', () => emitGroups(plan, { ...context.cgroups, version }, context));
  },
});

/**
 * Init enters its cgroups before it does anything else (version 1). This takes 30 µs; moving it from another process
 * would take 10 ms.
 */
export const joinCgroup: Step = {
  emit(plan, _spec, { cgroups }) {
    if (cgroups.version !== 1) return;
    for (const directory of directoriesOf(cgroups.directories))
      plan.op('inside', 'cgroup', 'WriteFd', plan.known(`cgroup ${directory}`) ?? noSlot, '0');
  },
};

/** A program with its own limits enters a cgroup below its sandbox's cgroup before any of its code runs. */
export const joinProgramGroup: Step = {
  scope: 'program',
  emit(plan, _spec, { group }) {
    for (const fd of group?.entries ?? []) plan.op('program', 'limits', 'WriteFd', plan.pass('limits', fd), '0');
  },
};

/**
 * Enforces the time limits. The process that waits for the processes holds the clock: the keeper for a sandbox, init
 * for one more program in it.
 */
export const clock: Step = {
  scope: 'both',
  emit(plan, spec, context) {
    if (context.kind === 'program') emitProgramClock(plan, context);
    else emitClock(plan, spec.limits, context);
  },
};

function parseCgroup(value: unknown, at: string): CgroupSpec {
  if (value === undefined) return { level: 'default' };
  if (typeof value !== 'object') return { level: parseOneOf(value, at, ['require', 'prefer', 'off']) };
  const { level, parent } = parseObject(value, at, ['level', 'parent']);
  return {
    level: level === undefined ? 'require' : parseOneOf(level, `${at}.level`, ['require', 'prefer']),
    ...(parent === undefined ? {} : { parent: parseParent(parent, `${at}.parent`) }),
  };
}

function parseParent(value: unknown, at: string): string {
  const path = parseString(value, at);
  const parts = path.split('/').slice(1);
  const isName = (part: string) => /^[^\s/]+$/.test(part) && part !== '.' && part !== '..' && part.length < 256;
  if (!path.startsWith('/') || !parts.every(isName)) throw new OptionError(at, `expected a path like '/nsjs.slice', received '${path}'`);
  return path;
}

function emitSettings(plan: PlanWriter, limits: LimitsSpec, directories: GroupDirectories, kind: GroupKind): void {
  for (const { controller, file, value, origin, optional } of settingsOf(limits, kind)) {
    const write = () => plan.op('host', origin, 'WriteFile', noSlot, join(directories[controller] ?? '', file), value);
    if (optional) plan.optional('host', write);
    else write();
  }
}

function emitGroups(plan: PlanWriter, cgroups: Cgroups & { readonly version: 1 | 2 }, { kind, parked }: Context): void {
  for (const directory of directoriesOf(cgroups.directories)) plan.op('host', 'cgroup', 'MakeDir', noSlot, directory, 0o755);
  emitSettings(plan, cgroups.limits, cgroups.directories, { ...cgroups, ownProcesses: 1 });
  if (cgroups.version === 1) openGroups1(plan, cgroups);
  else openGroup2(plan, cgroups);
  // update() may set a CPU quota for a long-lived sandbox later.
  const hasQuota = cgroups.limits.cpu !== undefined || (kind === 'sandbox' && !parked);
  emitEnd(plan, cgroups, hasQuota);
  emitAfter(plan, cgroups, hasQuota);
}

const writeOnly = 1;

function openGroups1(plan: PlanWriter, cgroups: Cgroups): void {
  for (const directory of directoriesOf(cgroups.directories)) {
    const tasks = plan.shared(`cgroup ${directory}`, () => plan.slot('cgroup'));
    plan.op('host', 'cgroup', 'Open', tasks, noSlot, join(directory, 'tasks'), writeOnly);
  }
  const { memory } = cgroups.directories;
  if (cgroups.limits.oomGroup && memory !== undefined)
    plan.op('host', 'limits.oomGroup', 'OomEvent', join(memory, 'memory.oom_control'), join(memory, 'cgroup.event_control'));
}

function openGroup2(plan: PlanWriter, { directories, leaf }: Cgroups): void {
  const directory = join(directories.memory ?? '', leaf ?? '');
  if (leaf !== undefined) plan.op('host', 'cgroup', 'MakeDir', noSlot, directory, 0o755);
  plan.cgroup = plan.slot('cgroup');
  plan.op('host', 'cgroup', 'Open', plan.cgroup, noSlot, directory, pathDirectory);
}

const quotaFiles = { 1: ['cpu.cfs_quota_us', '-1'], 2: ['cpu.max', 'max'] } as const;

// Killed processes need CPU time to exit. Only since Linux 6.18 does the kernel give it to them regardless of the
// quota.
function emitEnd(plan: PlanWriter, { directories, version = 2 }: Cgroups, hasQuota: boolean): void {
  const [file, unlimited] = quotaFiles[version];
  const directory = hasQuota ? directories.cpu : undefined;
  if (directory !== undefined) plan.optional('end', () => plan.op('end', 'cgroup', 'WriteFile', noSlot, join(directory, file), unlimited));
}

/** Name of the file that holds the CPU quota of a cgroup. */
export const quotaFile = (version: 1 | 2): string => quotaFiles[version][0];

/** Files of a cgroup that the result needs; they are read before the cgroup is removed. */
const lastWords = {
  1: {
    memory: ['memory.oom_control', 'memory.max_usage_in_bytes', 'memory.failcnt', 'memory.memsw.failcnt'],
    pids: ['pids.events', 'pids.peak'],
  },
  2: { memory: ['memory.events', 'memory.peak', 'pids.events', 'pids.peak', 'cpu.stat'] },
} as const;
const lastIo = { 1: 'blkio.throttle.io_service_bytes_recursive', 2: 'io.stat' } as const;

function emitAfter(plan: PlanWriter, { directories, version = 2, limits }: Cgroups, hasQuota: boolean): void {
  const read = (directory: string, file: string) =>
    plan.optional('after', () => plan.op('after', 'cgroup', 'ReadFile', join(directory, file)));
  const words: Readonly<Partial<Record<string, readonly string[]>>> = lastWords[version];
  for (const controller of controllers) {
    const directory = directories[controller];
    for (const file of directory === undefined ? [] : Object.hasOwn(words, controller) ? (words[controller] ?? []) : [])
      read(directory ?? '', file);
  }
  if (version === 1 && hasQuota && directories.cpu !== undefined) read(directories.cpu, 'cpu.stat');
  if (directories.io !== undefined && (version === 2 || limits.io !== undefined)) read(directories.io, lastIo[version]);
  for (const directory of directoriesOf(directories)) plan.op('after', 'cgroup', 'RemoveDir', directory);
}

function emitClock(
  plan: PlanWriter,
  { wallTime = 0, cpuTime = 0, idle = 0 }: LimitsSpec,
  { cgroups: { cpuUsage }, host, parked }: Context,
): void {
  const counts = cpuUsage !== undefined;
  if (wallTime === 0 && !(counts && (cpuTime > 0 || idle > 0))) return;
  const usage = counts && (cpuTime > 0 || idle > 0) ? plan.slot('limits') : noSlot;
  if (counts && usage !== noSlot) plan.op('host', 'limits.cpuTime', 'Open', usage, noSlot, cpuUsage.file, 0);
  const [cpu, still] = usage === noSlot ? [0, 0] : [cpuTime, idle];
  plan.op('host', 'limits.wallTime', 'Clock', usage, noSlot, cpuUsage?.perMs ?? 1, wallTime, cpu, still, host.cpus);
  // The time limits count from the start of the program.
  if (parked) plan.op('host', 'limits.wallTime', 'ClockHold');
}

function emitProgramClock(plan: PlanWriter, { group, ownLimits, host }: Context): void {
  const { wallTime = 0, cpuTime = 0, idle = 0 } = ownLimits ?? noLimits;
  const pass = (fd: number | undefined) => (fd === undefined ? noSlot : plan.pass('limits', fd));
  const counts = group?.usageFd !== undefined;
  // The operation is needed without limits as well: init uses it to kill the cgroup when the program has ended.
  if (wallTime === 0 && group?.killFd === undefined && !(counts && cpuTime + idle > 0)) return;
  const [cpu, still] = counts ? [cpuTime, idle] : [0, 0];
  plan.op('inside', 'limits', 'Clock', pass(group?.usageFd), pass(group?.killFd), group?.perMs ?? 1, wallTime, cpu, still, host.cpus);
  if (group?.quotaFd !== undefined) plan.op('inside', 'limits', 'ClockQuota', pass(group.quotaFd));
}

declare module './spec' {
  interface Spec {
    readonly cgroup: ReturnType<(typeof cgroup)['parse']>;
  }
}
