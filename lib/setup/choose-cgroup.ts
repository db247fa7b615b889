import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NsError } from '../base/errors';
import { bare, deepFreeze } from '../base/parse';
import { diskOf } from '../cgroup/device';
import { type CgroupLayout, type Controller, cgroupLayout, controllers, freezerLayout } from '../cgroup/layout';
import type { LimitsSpec } from '../cgroup/limits';
import { controllersFor, onlyVersion2 } from '../cgroup/settings';
import { nextGroupName } from '../cgroup/sweep';
import type { Cgroups, Context, Dropped } from '../features/feature';
import type { Spec } from '../features/spec';
import { countsPids } from '../features/stand-ins';
import { host } from '../host/host';

/** The cgroups of one sandbox, and the controls that it lacks. */
export interface Groups extends Pick<Context, 'cgroups' | 'freezer'> {
  readonly dropped: readonly Dropped[];
}

const noCgroups: Cgroups = deepFreeze({ version: undefined, directories: {}, swapAccounting: false, limits: {} });

/**
 * Purpose of the cgroups: for a program with a sandbox of its own, for a long-lived sandbox, or for a sandbox that
 * waits for its only program.
 */
export type GroupsKind = 'run' | 'sandbox' | 'parked';

/**
 * Chooses the cgroups of a sandbox. Throws NsError ERR_NSJS_UNSUPPORTED for a requirement that cannot be met, and
 * OptionError for invalid disks.
 */
export function chooseGroups(spec: Spec, kind: GroupsKind, name: string = nextGroupName()): Groups {
  const { cgroups, dropped } = chooseCgroups(spec, kind, name);
  const withFreezer = bare(kind === 'sandbox' || needsClock(spec.limits) ? chooseFreezer(cgroups, name) : {});
  const counted = bare({ ...cgroups, ...cpuUsage(cgroups, withFreezer.freezer) });
  return { cgroups: counted, ...withFreezer, dropped: [...dropped, ...missing(spec, counted)] };
}

// CPU time must be counted to enforce cpuTime and idle, and, with each of the three limits, to report the time used
// until then.
const needsClock = ({ cpuTime, idle, wallTime }: LimitsSpec): boolean =>
  cpuTime !== undefined || idle !== undefined || wallTime !== undefined;

/** Limits that are enforced by other means if there is no cgroup. */
const softLimits = ['memory', 'swap', 'pids', 'cpuWeight'] as const;

/** The part of a choice that does not depend on the name of the cgroups. */
interface Choice extends Pick<Groups, 'dropped'> {
  readonly layout: CgroupLayout;
  readonly controllers: readonly Controller[];
  readonly cgroups: Omit<Cgroups, 'directories'>;
}

const choices = new WeakMap<Spec, Map<GroupsKind, Choice>>();

// Cached for each spec: the result only changes if it depends on disks, or on the CPUs and memory nodes of the parent
// cgroup.
function choose(spec: Spec, layout: CgroupLayout, wanted: readonly Controller[], kind: GroupsKind): Choice {
  const ofSpec = choices.get(spec) ?? new Map<GroupsKind, Choice>();
  choices.set(spec, ofSpec);
  const found = ofSpec.get(kind);
  if (found?.layout === layout) return found;
  const { limits: held, dropped } = fitTo(spec, layout, wanted, kind);
  const choice: Choice = {
    layout,
    controllers: controllersIn(layout, held, kind),
    cgroups: {
      version: layout.version,
      swapAccounting: layout.swapAccounting,
      limits: held,
      ...(layout.version === 2 && kind === 'sandbox' ? { leaf: 'init' } : {}),
    },
    dropped: [...dropped, ...(layout.swapAccounting || held.swap === undefined ? [] : [swapDropped])],
  };
  const { io, cpus, memoryNodes } = held;
  if (io === undefined && cpus === undefined && memoryNodes === undefined) ofSpec.set(kind, choice);
  return choice;
}

function chooseCgroups(spec: Spec, kind: GroupsKind, name: string): Pick<Groups, 'cgroups' | 'dropped'> {
  const { cgroup, limits } = spec;
  const wanted = controllersFor(limits);
  if (cgroup.level === 'off' || (wanted.length === 0 && cgroup.level !== 'require')) {
    const hard = hardLimit(limits);
    if (hard !== undefined) throw unsupported(`limits.${hard}`, "needs a cgroup, but the option cgroup is 'off'", 'omit the option cgroup');
    return { cgroups: noCgroups, dropped: [] };
  }
  const layout = cgroupLayout(cgroup.parent);
  if (layout.version === undefined) return { cgroups: noCgroups, dropped: withoutGroups(spec, layout) };
  const { controllers: own, cgroups, dropped } = choose(spec, layout, wanted, kind);
  const directories = bare(Object.fromEntries(own.map((controller) => [controller, join(layout.parents[controller] ?? '', name)])));
  return { cgroups: bare({ ...cgroups, directories }), dropped };
}

// Version 2 has one cgroup for all controllers. On version 1, each controller adds 0.1 ms to a spawn.
function controllersIn(layout: CgroupLayout, limits: LimitsSpec, kind: GroupsKind): readonly Controller[] {
  const there = controllers.filter((name) => layout.parents[name] !== undefined);
  if (layout.version === 2) return there;
  const always: readonly Controller[] = kind === 'sandbox' ? ['memory', 'pids', 'cpu', 'io'] : ['memory', 'pids'];
  const counted: readonly Controller[] = needsClock(limits) && freezerLayout()?.version !== 2 ? ['cpuacct'] : [];
  const wanted = [...always, ...controllersFor(limits), ...counted];
  return there.filter((name) => wanted.includes(name));
}

const hardLimit = (limits: LimitsSpec): string | undefined => {
  const soft: readonly string[] = [...softLimits, 'wallTime', 'cpuTime', 'idle', 'fileSize', 'openFiles'];
  return Object.keys(limits).find((name) => !soft.includes(name));
};

function withoutGroups({ cgroup, limits }: Spec, layout: { readonly reason: string; readonly fix: string }): readonly Dropped[] {
  if (cgroup.level === 'require') throw unsupported('cgroup', layout.reason, layout.fix);
  const hard = hardLimit(limits);
  if (hard !== undefined && cgroup.level === 'default') throw unsupported(`limits.${hard}`, layout.reason, layout.fix);
  const reason =
    `${layout.reason}; limits.memory is enforced per process (RLIMIT_DATA, from Node 24 on with 640 MiB more that V8 reserves and does not use) and by this process, which checks the usage ten times per second; limits.pids is enforced by RLIMIT_NPROC; of kernel memory, that of sockets ` +
    'is limited to limits.memory separately, and that of pipes, epoll sets and memory files only by the limits on descriptors and processes';
  const lost =
    hard === undefined ? [] : Object.keys(limits).filter((name) => hardLimit(bare({ [name]: true }) as LimitsSpec) !== undefined);
  const dropped = (name: string): Dropped => ({ control: `limits.${name}`, reason: layout.reason, fix: layout.fix });
  return [{ control: 'cgroup', reason, fix: layout.fix }, ...lost.map(dropped)];
}

/** Returns why version 1 cannot enforce a limit. */
export const version2Reason = (name: keyof LimitsSpec): string =>
  name === 'swap' ? 'also needs limits.memory on cgroups of version 1' : 'needs cgroups of version 2';

const unsupported = (control: string, reason: string, hint: string) =>
  new NsError('ERR_NSJS_UNSUPPORTED', `${control}: ${reason}`, { hint });

// The limits that this layout can enforce, with disks and CPUs by their numbers on this machine.
function fitTo(spec: Spec, layout: CgroupLayout, wanted: readonly Controller[], kind: GroupsKind) {
  const missing = wanted.filter((name) => layout.parents[name] === undefined);
  const lost = Object.keys(spec.limits).filter((key) =>
    controllersFor(pick(spec.limits, key)).some((controller) => missing.includes(controller)),
  ) as (keyof LimitsSpec)[];
  const only2 = layout.version === 1 ? onlyVersion2(spec.limits) : [];
  const dropped2 = only2.map((name) => {
    const fix = 'boot with systemd.unified_cgroup_hierarchy=1';
    if (spec.cgroup.level !== 'prefer') throw unsupported(`limits.${name}`, version2Reason(name), fix);
    return { control: `limits.${name}`, reason: version2Reason(name), fix };
  });
  const dropped = lost.map((name) => {
    const reason = `this process may not create cgroups with the required controllers (${missing.join(', ')})`;
    const fix = `enable them in the parent cgroup: write "${missing.map((one) => `+${one}`).join(' ')}" to its cgroup.subtree_control`;
    if (name !== 'cpuWeight' && spec.cgroup.level !== 'prefer') throw unsupported(`limits.${name}`, reason, fix);
    return { control: `limits.${name}`, reason, fix };
  });
  const without = [...lost, ...only2] as readonly string[];
  const kept = Object.entries(spec.limits).filter(([name]) => !without.includes(name));
  const oomGroup =
    spec.limits.oomGroup ?? (layout.version === 2 && spec.limits.memory !== undefined && kind !== 'sandbox' ? true : undefined);
  const limits: LimitsSpec = bare({ ...Object.fromEntries(kept), ...(oomGroup === undefined ? {} : { oomGroup }) });
  return { limits: resolve(limits, layout), dropped: [...dropped2, ...dropped] };
}

const pick = (limits: LimitsSpec, key: string): LimitsSpec => {
  const alone = { [key]: limits[key as keyof LimitsSpec] };
  return bare(key === 'cpuBurst' || key === 'cpuPeriod' ? { ...alone, cpu: 1 } : alone) as LimitsSpec;
};

/**
 * Returns limits with disks by their numbers. For a cpuset of version 1, also completes both lists: without them the
 * cpuset accepts no process.
 */
export function resolve(limits: LimitsSpec, layout: Pick<CgroupLayout, 'version' | 'parents'>): LimitsSpec {
  const io = limits.io?.map((entry, index) =>
    entry.device.startsWith('/') ? bare({ ...entry, device: diskOf(entry.device, `limits.io[${index}].device`) }) : entry,
  );
  const needsSets = layout.version === 1 && (limits.cpus !== undefined || limits.memoryNodes !== undefined);
  const inherited = (file: string) => readFileSync(join(layout.parents.cpuset ?? '', file), 'latin1').trim();
  return bare({
    ...limits,
    ...(io ? { io } : {}),
    ...(needsSets ? { cpus: limits.cpus ?? inherited('cpuset.cpus'), memoryNodes: limits.memoryNodes ?? inherited('cpuset.mems') } : {}),
  });
}

function chooseFreezer({ version, directories }: Cgroups, name: string): Pick<Context, 'freezer'> {
  if (version === 2) return { freezer: { version, directory: directories.memory ?? '', own: false } };
  const layout = freezerLayout();
  return layout ? { freezer: { version: layout.version, directory: join(layout.parent, name), own: true } } : {};
}

const usPerMs = 1000;
const nsPerMs = 1_000_000;

// A cgroup of version 2 counts CPU time without any controller.
function cpuUsage({ version, directories }: Cgroups, freezer: Context['freezer']): Pick<Cgroups, 'cpuUsage'> {
  const directory = version === 2 ? directories.memory : freezer?.version === 2 ? freezer.directory : undefined;
  if (directory !== undefined) return { cpuUsage: { file: join(directory, 'cpu.stat'), perMs: usPerMs } };
  return directories.cpuacct === undefined ? {} : { cpuUsage: { file: join(directories.cpuacct, 'cpuacct.usage'), perMs: nsPerMs } };
}

function missing(spec: Spec, { version, cpuUsage: usage }: Cgroups): readonly Dropped[] {
  const fix = 'see `nsjs probe` for cgroup';
  const { pids, cpuTime, cpuWeight, idle } = spec.limits;
  const dropped = (control: string, reason: string): Dropped => ({ control, reason, fix });
  const counted = version !== undefined || countsPids(spec, host().privileged ? 0 : undefined);
  return [
    ...(pids !== undefined && !counted
      ? [
          dropped(
            'limits.pids',
            'without a cgroup and without a user namespace, RLIMIT_NPROC counts all processes of the user: the limit is approximately the number of processes that the user had when the program started, plus limits.pids',
          ),
        ]
      : []),
    ...(cpuTime !== undefined && !usage
      ? [
          dropped(
            'limits.cpuTime',
            'without a cgroup, this process checks the total CPU time ten times per second, and RLIMIT_CPU limits each process',
          ),
        ]
      : []),
    ...(idle !== undefined && !usage
      ? [dropped('limits.idle', 'without a cgroup, this process checks the total CPU time ten times per second')]
      : []),
    ...(cpuWeight !== undefined && version === undefined && spec.cgroup.level !== 'off'
      ? [dropped('limits.cpuWeight', 'a CPU weight needs a cgroup')]
      : []),
  ];
}

const swapDropped: Dropped = {
  control: 'limits.swap',
  reason: 'this kernel does not count swap',
  fix: 'boot with swapaccount=1',
};
