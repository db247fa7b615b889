import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NsError } from '../base/errors';
import { bare } from '../base/parse';
import type { LimitsSpec } from '../cgroup/limits';
import { capabilityNames, capabilitySets } from '../features/capabilities';
import type { Cgroups } from '../features/feature';
import type { IdMapEntry } from '../features/id-map';
import { homeDirectory } from '../features/root/home';
import { covers, fixedTargets, isWritableMount, mayBePinned } from '../features/root/pins';
import type { Spec } from '../features/spec';
import { host } from '../host/host';
import type { FactTexts } from '../launcher/fact-texts';
import { parseMountLines, visibleMounts } from '../proc/mountinfo';

/** A mount as the kernel reports it, proc_pid_mountinfo(5). */
export interface MountFact {
  readonly target: string;
  /** The directory of the file system that is mounted. */
  readonly root: string;
  readonly type: string;
  /** Flags of the mount itself: `ro`, `nosuid`, `nodev`, `noexec`, … */
  readonly flags: readonly string[];
  /** Another mount hides it, so that no path leads to it. */
  readonly hidden?: true;
}

/** Facts that the kernel reports about a running program. They are read back, not copied from the options. */
export interface KernelFacts {
  /** Capability sets, proc_pid_status(5). */
  readonly capabilities?: Readonly<Record<(typeof capabilitySets)[number], readonly string[]>>;
  readonly noNewPrivileges?: boolean;
  /**
   * Mode 2 means that a filter is in force. `filters` counts all of them, including those that this process itself is
   * under.
   */
  readonly seccomp?: { readonly mode: number; readonly filters: number };
  /** Ids as seen from the user namespace that owns the sandbox's mounts; 0 there is the sandbox's host id. */
  readonly uids?: readonly number[];
  readonly gids?: readonly number[];
  readonly groups?: readonly number[];
  readonly uidMap?: readonly IdMapEntry[];
  readonly gidMap?: readonly IdMapEntry[];
  readonly mounts?: readonly MountFact[];
  /** Limits of its cgroups: memory in bytes, and the number of processes including init. */
  readonly cgroup?: { readonly memory?: number; readonly pids?: number };
}

/** Parses the files of /proc that a launcher has sent. */
export function kernelFacts(texts: FactTexts): KernelFacts {
  const [status, mounts, uidMap, gidMap] = ['status', 'mountinfo', 'uid_map', 'gid_map'].map((name) => texts.get(name));
  return {
    ...(status === undefined ? {} : parseStatus(status)),
    ...(uidMap === undefined ? {} : { uidMap: parseMap(uidMap) }),
    ...(gidMap === undefined ? {} : { gidMap: parseMap(gidMap) }),
    ...(mounts === undefined ? {} : { mounts: parseMountinfo(mounts) }),
  };
}

const statusNames = { bounding: 'CapBnd', permitted: 'CapPrm', effective: 'CapEff', inheritable: 'CapInh', ambient: 'CapAmb' } as const;

export function parseStatus(text: string): KernelFacts {
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1] ?? '';
  const numbers = (name: string) => field(name).split(/\s+/).filter(Boolean).map(Number);
  const named = (name: string) => {
    const bits = BigInt(`0x${field(name) || '0'}`);
    return capabilityNames.filter((_, bit) => (bits >> BigInt(bit)) & 1n);
  };
  return {
    capabilities: Object.fromEntries(capabilitySets.map((set) => [set, named(statusNames[set])])) as unknown as NonNullable<
      KernelFacts['capabilities']
    >,
    noNewPrivileges: field('NoNewPrivs') === '1',
    seccomp: { mode: Number(field('Seccomp')), filters: Number(field('Seccomp_filters') || '0') },
    uids: numbers('Uid'),
    gids: numbers('Gid'),
    groups: numbers('Groups'),
  };
}

export function parseMap(text: string): readonly IdMapEntry[] {
  return text
    .trim()
    .split('\n')
    .filter((line) => /^\s*\d+\s+\d+\s+\d+\s*$/.test(line))
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([inside = 0, outside = 0, count = 0]) => ({ inside, outside, count }));
}

const limitFiles = { 1: { memory: 'memory.limit_in_bytes', pids: 'pids.max' }, 2: { memory: 'memory.max', pids: 'pids.max' } } as const;

/** Reads the limits in force from a sandbox's cgroups. The result is empty if it has none, or if they are gone. */
export function cgroupFacts({ version, directories }: Pick<Cgroups, 'version' | 'directories'>): Pick<KernelFacts, 'cgroup'> {
  if (version === undefined) return {};
  const read = (name: 'memory' | 'pids') => {
    const directory = directories[name] ?? directories.memory;
    const value = directory === undefined ? Number.NaN : Number(readFileSync(join(directory, limitFiles[version][name]), 'latin1'));
    return Number.isNaN(value) ? {} : { [name]: value };
  };
  try {
    return { cgroup: { ...read('memory'), ...read('pids') } };
  } catch {
    return {};
  }
}

/** Parses mountinfo; invalid lines are skipped. */
export function parseMountinfo(text: string): readonly MountFact[] {
  const lines = parseMountLines(text);
  const visible = new Set(visibleMounts(lines));
  return lines.map((line) => {
    const { target, root, type, flags } = line;
    return { target, root, type, flags, ...(visible.has(line) ? {} : ({ hidden: true } as const)) };
  });
}

/**
 * Returns an NsError ERR_NSJS_VERIFY if the kernel reports weaker restrictions than the options require, or than
 * `limits` for the cgroups. Such a program must be stopped.
 */
export function factsError(spec: Spec, facts: KernelFacts | undefined, limits: LimitsSpec = spec.limits): Error | undefined {
  try {
    if (facts) checkFacts(spec, facts, limits);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

function checkFacts(spec: Spec, facts: KernelFacts, { memory, pids }: LimitsSpec): void {
  const { capabilities, noNewPrivileges, seccomp, mounts, cgroup } = bare({ ...facts });
  const fail = (control: string, found: string) => {
    throw new NsError('ERR_NSJS_VERIFY', `${control}: the kernel reports ${found}`, {
      hint: 'this is a bug in nsjs, or another process interfered; nothing was left running',
    });
  };
  // With nested user namespaces, the program may already be in a user namespace of its own, where it has every
  // capability.
  if (capabilities && !spec.nestedUserNamespaces)
    for (const set of capabilitySets) {
      const stray = capabilities[set].find((name) => !isExpected(spec, set, name));
      if (stray) fail('capabilities', `${stray} in the ${set} set`);
    }
  if (noNewPrivileges === false && spec.noNewPrivileges) fail('noNewPrivileges', 'that it is not set');
  if (seccomp && spec.seccomp !== 'off' && (seccomp.mode !== 2 || seccomp.filters === 0)) fail('seccomp', `mode ${seccomp.mode}`);
  // The kernel rounds the memory limit down to whole pages.
  if (cgroup && memory !== undefined && !(cgroup.memory !== undefined && cgroup.memory <= memory))
    fail('limits.memory', `${cgroup.memory}`);
  if (cgroup && pids !== undefined && cgroup.pids !== pids + 1) fail('limits.pids', `${cgroup.pids}`);
  for (const mount of mounts ?? []) if (!isDevice(mount)) checkMount(spec, bare({ ...mount }), fail);
  // A mount that is not at its target has been moved by a rename from outside.
  const lost = mounts && fixedTargets(spec).find(({ target }) => !mounts.some((mount) => mount.target === target));
  if (lost && spec.root !== 'host') fail(`the ${lost.type} at ${lost.target}`, 'that nothing is mounted there');
}

// A program without a user namespace of its own keeps the caller's bounding set. execve(2) may make all permitted
// capabilities effective and, without no_new_privs, may add those of the bounding and the inheritable set.
function isExpected(spec: Spec, set: (typeof capabilitySets)[number], name: string): boolean {
  const { capabilities, namespaces, noNewPrivileges } = spec;
  if (set === 'bounding' && !namespaces.user && namespaces.joined.user === undefined) return true;
  const has = (one: (typeof capabilitySets)[number]) => capabilities[one].includes(name as never);
  if (has(set)) return true;
  if (set !== 'effective' && set !== 'permitted') return false;
  return has('permitted') || (!noNewPrivileges && (has('bounding') || has('inheritable')));
}

// A single device of the host, mounted at its own path or over a masked path. It is not a program, and only the device
// itself can be written to.
const isDevice = ({ root, type }: MountFact): boolean => {
  const isOfDevices = type === 'devtmpfs' || type === 'tmpfs';
  return host().devices.some((name) => (isOfDevices && root === `/${name}`) || root.endsWith(`/dev/${name}`));
};

function checkMount(spec: Spec, { target, flags, type, hidden }: MountFact, fail: (control: string, found: string) => void): void {
  if (spec.root === 'host' || !spec.namespaces.mnt) return;
  if (!flags.includes('nosuid')) fail(`the mount at ${target}`, 'that set-id files work');
  if (!flags.includes('nodev') && !target.startsWith('/dev/') && !isMountOf(spec, 'dev', target) && target !== '/dev')
    fail(`the mount at ${target}`, 'that devices work');
  if (!hidden && !flags.includes('ro') && type !== 'proc' && !isWritable(spec, target))
    fail(`the mount at ${target}`, 'that it is writable');
}

const isMounted = ({ type }: Spec['mounts'][number]): boolean => type !== 'dir' && type !== 'symlink';

const isReadOnly = (mount: Spec['mounts'][number]): boolean => mount.type === 'readonly' || (mount.type === 'bind' && mount.readonly);

const isMountOf = (spec: Spec, type: string, target: string): boolean =>
  spec.mounts.some((mount) => mount.type === type && (target === mount.target || target.startsWith(`${mount.target}/`)));

function isWritable(spec: Spec, target: string): boolean {
  const nearest = spec.mounts.findLast((mount) => isMounted(mount) && (target === mount.target || covers(mount, target)));
  const mayBeWritten = nearest !== undefined && (isWritableMount(nearest) || nearest.type === 'dev');
  if (nearest?.target === target && (mayBeWritten || isReadOnly(nearest))) return mayBeWritten;
  if (mayBePinned(spec, target)) return true;
  if (target === '/') return typeof spec.root === 'object';
  if (target === '/dev' || target.startsWith('/dev/') || ['/tmp', homeDirectory].includes(target)) return true;
  return mayBeWritten;
}
