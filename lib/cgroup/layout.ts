import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SysError } from '../base/errors';
import { bare, deepFreeze } from '../base/parse';
import { type Host, host } from '../host/host';
import { folderOf, type Hierarchies, isWritable, readHierarchies, readText } from './hierarchies';
import { sweep } from './sweep';

/** Controllers that nsjs limits with, cgroups(7). `io` is called blkio by version 1, whose `cpuacct` counts what `cpu` limits. */
export const controllers = ['memory', 'pids', 'cpu', 'cpuacct', 'cpuset', 'io', 'hugetlb'] as const;
export type Controller = (typeof controllers)[number];

/** The directories of one group: one for each controller, or one for all (version 2). */
export type GroupFolders = Readonly<Partial<Record<Controller, string>>>;

/** Each directory once: controllers may share one. */
export function foldersOf(folders: GroupFolders): readonly string[] {
  const found: string[] = [];
  for (const folder of Object.values(folders)) if (!found.includes(folder)) found.push(folder);
  return found;
}

/** Where sandboxes' cgroups can be made. */
export interface CgroupLayout {
  readonly version: 1 | 2;
  /** The directory to make a group in, for each controller that works. */
  readonly parents: GroupFolders;
  /** Version 1 counts memory and swap together (memory.memsw.*). */
  readonly swapAccounting: boolean;
}

/** Why there is none, and what to do about it. */
export interface NoCgroups {
  readonly version: undefined;
  readonly reason: string;
  readonly fix: string;
}

/** Where a group that can be frozen can be made. */
export interface FreezerLayout {
  readonly version: 1 | 2;
  readonly parent: string;
}

const needed = ['memory', 'pids'] as const;

const known = new WeakMap<Host, Map<string, CgroupLayout | NoCgroups>>();

/**
 * Looks once where this process may make cgroups: beside its own, or in `parent`, a path below the mount of each hierarchy.
 * What processes that died left there goes. Throws a SysError if `parent` can't be made.
 */
export function cgroupLayout(parent?: string): CgroupLayout | NoCgroups {
  const key = parent ?? '';
  const ofHost = known.get(host()) ?? new Map<string, CgroupLayout | NoCgroups>();
  known.set(host(), ofHost);
  const found = ofHost.get(key);
  if (found && (parent === undefined || isThere(found))) return found;
  const layout = find(readHierarchies(), parent);
  ofHost.set(key, deepFreeze(layout));
  if (layout.version !== undefined) sweep(Object.values(layout.parents));
  return layout;
}

// Whoever named it may have removed it.
const isThere = (layout: CgroupLayout | NoCgroups): boolean =>
  layout.version === undefined || Object.values(layout.parents).every((folder) => existsSync(folder));

const knownFreezers = new WeakMap<Host, { readonly layout: FreezerLayout | undefined }>();

/** Looks once where a group that can be frozen can be made: version 2 even where the controllers sit on version 1. */
export function freezerLayout(): FreezerLayout | undefined {
  const found = knownFreezers.get(host());
  if (found) return found.layout;
  const layout = findFreezer(readHierarchies());
  knownFreezers.set(host(), { layout });
  if (layout) sweep([layout.parent]);
  return layout;
}

function findFreezer({ memberships, mounts }: Hierarchies): FreezerLayout | undefined {
  const candidates = [
    {
      version: 2,
      mount: mounts.find(({ version }) => version === 2),
      own: memberships.find(({ controllers: names }) => names.length === 0),
    },
    {
      version: 1,
      mount: mounts.find(({ version, options }) => version === 1 && options.includes('freezer')),
      own: memberships.find(({ controllers: names }) => names.includes('freezer')),
    },
  ] as const;
  for (const { version, mount, own } of candidates) {
    const parent = mount && own ? folderOf(mount, own.path) : undefined;
    if (parent && isWritable(parent)) return { version, parent };
  }
  return undefined;
}

function find(hierarchies: Hierarchies, parent: string | undefined): CgroupLayout | NoCgroups {
  return findVersion2(hierarchies, parent) ?? findVersion1(hierarchies, parent) ?? noCgroups(hierarchies, parent);
}

const groupFile = (folder: string, name: string): readonly string[] => readText(join(folder, name)).trim().split(' ');

// No group with processes can have children with controllers, so the group of this process will not do unless it is
// the root; a group above it that passes the controllers on and may be written to will.
function findVersion2({ memberships, mounts }: Hierarchies, parent: string | undefined): CgroupLayout | undefined {
  const mount = mounts.find(({ version }) => version === 2);
  const own = memberships.find((membership) => membership.controllers.length === 0);
  if (!mount || !own) return undefined;
  if (parent !== undefined) {
    if (!needed.every((name) => groupFile(mount.folder, 'cgroup.controllers').includes(name))) return undefined;
    return version2(makeParent2(mount.folder, parent));
  }
  for (let folder = folderOf(mount, own.path); folder.length >= mount.folder.length; folder = dirname(folder)) {
    const passedOn = groupFile(folder, 'cgroup.subtree_control');
    if (needed.every((name) => passedOn.includes(name)) && isWritable(folder) && isWritable(join(folder, 'cgroup.procs'))) {
      return version2(folder);
    }
  }
  return undefined;
}

function version2(folder: string): CgroupLayout {
  const passedOn = groupFile(folder, 'cgroup.subtree_control');
  const parents = Object.fromEntries(controllers.filter((name) => passedOn.includes(name)).map((name) => [name, folder]));
  return { version: 2, parents, swapAccounting: true };
}

// Every group on the way must pass on what the sandboxes' groups are to have; a group that has processes cannot.
function makeParent2(root: string, parent: string): string {
  let folder = root;
  for (const name of parent.split('/').filter(Boolean)) {
    passOn(folder);
    folder = join(folder, name);
    makeGroup(folder);
  }
  passOn(folder);
  return folder;
}

function passOn(folder: string): void {
  const [there, passedOn] = [groupFile(folder, 'cgroup.controllers'), groupFile(folder, 'cgroup.subtree_control')];
  const path = join(folder, 'cgroup.subtree_control');
  for (const name of controllers) {
    if (!there.includes(name) || passedOn.includes(name)) continue;
    try {
      writeFileSync(path, `+${name}`);
    } catch (error) {
      if (needed.some((one) => one === name)) throw parentError(error, path);
    }
  }
}

function makeGroup(folder: string): void {
  try {
    if (!existsSync(folder)) mkdirSync(folder);
  } catch (error) {
    throw parentError(error, folder);
  }
}

function parentError(error: unknown, path: string): SysError {
  const { errno = -5, syscall = 'write' } = error as NodeJS.ErrnoException;
  const hint = 'the group must be writable for this user and hold no process itself; root, or systemd with Delegate=yes, can give it away';
  return new SysError({ errno: -errno, syscall, origin: 'cgroup.parent', path, hint });
}

const nameIn1: Readonly<Partial<Record<Controller, string>>> = bare({ io: 'blkio' });

function findVersion1({ memberships, mounts }: Hierarchies, below: string | undefined): CgroupLayout | undefined {
  const found = controllers.flatMap((name) => {
    const inKernel = nameIn1[name] ?? name;
    const mount = mounts.find(({ version, options }) => version === 1 && options.includes(inKernel));
    const own = memberships.find((membership) => membership.controllers.includes(inKernel));
    if (!mount || !own) return [];
    const folder = below === undefined ? folderOf(mount, own.path) : join(mount.folder, below);
    if (below !== undefined) makeParent1(mount.folder, below);
    return isWritable(folder) ? [[name, folder] as const] : [];
  });
  const parents = bare(Object.fromEntries(found) as GroupFolders);
  if (parents.memory === undefined || parents.pids === undefined) return undefined;
  return { version: 1, parents, swapAccounting: existsSync(join(parents.memory, 'memory.memsw.limit_in_bytes')) };
}

function makeParent1(root: string, parent: string): void {
  let folder = root;
  for (const name of parent.split('/').filter(Boolean)) {
    folder = join(folder, name);
    makeGroup(folder);
    inheritCpuset(folder);
  }
}

/** A cpuset of version 1 is made empty, and takes no process until it has CPUs and memory nodes. */
function inheritCpuset(folder: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    if (existsSync(join(folder, file)) && readText(join(folder, file)).trim() === '')
      writeFileSync(join(folder, file), readText(join(dirname(folder), file)));
}

function noCgroups({ mounts }: Hierarchies, parent: string | undefined): NoCgroups {
  if (mounts.length === 0) {
    return { version: undefined, reason: 'no cgroup file system is mounted', fix: 'mount cgroup2 on /sys/fs/cgroup' };
  }
  return {
    version: undefined,
    reason: `this process may not make cgroups with the memory and pids controllers${parent === undefined ? '' : ` in ${parent}`}`,
    fix: 'run it in a delegated group, for example with `systemd-run --user --scope -p Delegate=yes`',
  };
}
