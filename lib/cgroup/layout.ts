import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SysError } from '../base/errors';
import { bare, deepFreeze } from '../base/parse';
import { type Host, host } from '../host/host';
import { directoryOf, type Hierarchies, isWritable, readHierarchies, readText } from './hierarchies';
import { sweep } from './sweep';

/**
 * The controllers that nsjs uses, cgroups(7). Version 1 calls `io` blkio, and its `cpuacct` counts what `cpu` limits.
 */
export const controllers = ['memory', 'pids', 'cpu', 'cpuacct', 'cpuset', 'io', 'hugetlb'] as const;
export type Controller = (typeof controllers)[number];

/** The directories of one cgroup: one for each controller, or the same one for all (version 2). */
export type GroupDirectories = Readonly<Partial<Record<Controller, string>>>;

/** Returns each directory once, as controllers may share one. */
export function directoriesOf(directories: GroupDirectories): readonly string[] {
  const found: string[] = [];
  for (const directory of Object.values(directories)) if (!found.includes(directory)) found.push(directory);
  return found;
}

/** Where cgroups for sandboxes can be created. */
export interface CgroupLayout {
  readonly version: 1 | 2;
  /** The parent directory for new cgroups, by usable controller. */
  readonly parents: GroupDirectories;
  /** Version 1 counts memory and swap together (memory.memsw.*). */
  readonly swapAccounting: boolean;
}

/** Why no cgroups can be created, and how to fix it. */
export interface NoCgroups {
  readonly version: undefined;
  readonly reason: string;
  readonly fix: string;
}

/** Where a cgroup that can be frozen can be created. */
export interface FreezerLayout {
  readonly version: 1 | 2;
  readonly parent: string;
}

const needed = ['memory', 'pids'] as const;

const known = new WeakMap<Host, Map<string, CgroupLayout | NoCgroups>>();

/**
 * Finds where this process may create cgroups: near its own cgroup, or in `parent`, a path below the mount point of
 * each hierarchy. Removes cgroups that dead processes left there. The result is cached. Throws a SysError if `parent`
 * cannot be created.
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

// The caller may have removed the directory that it named as `parent`.
const isThere = (layout: CgroupLayout | NoCgroups): boolean =>
  layout.version === undefined || Object.values(layout.parents).every((directory) => existsSync(directory));

const knownFreezers = new WeakMap<Host, { readonly layout: FreezerLayout | undefined }>();

/**
 * Finds where a cgroup that can be frozen can be created. Version 2 is preferred, even if the controllers are on
 * version 1. The result is cached.
 */
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
    const parent = mount && own ? directoryOf(mount, own.path) : undefined;
    if (parent && isWritable(parent)) return { version, parent };
  }
  return undefined;
}

function find(hierarchies: Hierarchies, parent: string | undefined): CgroupLayout | NoCgroups {
  return findVersion2(hierarchies, parent) ?? findVersion1(hierarchies, parent) ?? noCgroups(hierarchies, parent);
}

const groupFile = (directory: string, name: string): readonly string[] => readText(join(directory, name)).trim().split(' ');

// A version 2 cgroup with processes cannot have children with controllers. This process's own cgroup is therefore
// unusable unless it is the root; an ancestor that passes the controllers on and is writable can be used.
function findVersion2({ memberships, mounts }: Hierarchies, parent: string | undefined): CgroupLayout | undefined {
  const mount = mounts.find(({ version }) => version === 2);
  const own = memberships.find((membership) => membership.controllers.length === 0);
  if (!mount || !own) return undefined;
  if (parent !== undefined) {
    if (!needed.every((name) => groupFile(mount.directory, 'cgroup.controllers').includes(name))) return undefined;
    return version2(makeParent2(mount.directory, parent));
  }
  for (let directory = directoryOf(mount, own.path); directory.length >= mount.directory.length; directory = dirname(directory)) {
    const passedOn = groupFile(directory, 'cgroup.subtree_control');
    if (needed.every((name) => passedOn.includes(name)) && isWritable(directory) && isWritable(join(directory, 'cgroup.procs'))) {
      return version2(directory);
    }
  }
  return undefined;
}

function version2(directory: string): CgroupLayout {
  const passedOn = groupFile(directory, 'cgroup.subtree_control');
  const parents = Object.fromEntries(controllers.filter((name) => passedOn.includes(name)).map((name) => [name, directory]));
  return { version: 2, parents, swapAccounting: true };
}

// Every cgroup on the path must pass on the controllers for the sandboxes' cgroups; a cgroup that has processes cannot.
function makeParent2(root: string, parent: string): string {
  let directory = root;
  for (const name of parent.split('/').filter(Boolean)) {
    passOn(directory);
    directory = join(directory, name);
    makeGroup(directory);
  }
  passOn(directory);
  return directory;
}

function passOn(directory: string): void {
  const [there, passedOn] = [groupFile(directory, 'cgroup.controllers'), groupFile(directory, 'cgroup.subtree_control')];
  const path = join(directory, 'cgroup.subtree_control');
  for (const name of controllers) {
    if (!there.includes(name) || passedOn.includes(name)) continue;
    try {
      writeFileSync(path, `+${name}`);
    } catch (error) {
      if (needed.some((one) => one === name)) throw parentError(error, path);
    }
  }
}

function makeGroup(directory: string): void {
  try {
    if (!existsSync(directory)) mkdirSync(directory);
  } catch (error) {
    throw parentError(error, directory);
  }
}

function parentError(error: unknown, path: string): SysError {
  const { errno = -5, syscall = 'write' } = error as NodeJS.ErrnoException;
  const hint =
    'the cgroup must be writable for this user and must not contain processes itself; root, or systemd with Delegate=yes, can delegate it';
  return new SysError({ errno: -errno, syscall, origin: 'cgroup.parent', path, hint });
}

const nameIn1: Readonly<Partial<Record<Controller, string>>> = bare({ io: 'blkio' });

function findVersion1({ memberships, mounts }: Hierarchies, below: string | undefined): CgroupLayout | undefined {
  const found = controllers.flatMap((name) => {
    const inKernel = nameIn1[name] ?? name;
    const mount = mounts.find(({ version, options }) => version === 1 && options.includes(inKernel));
    const own = memberships.find((membership) => membership.controllers.includes(inKernel));
    if (!mount || !own) return [];
    const directory = below === undefined ? directoryOf(mount, own.path) : join(mount.directory, below);
    if (below !== undefined) makeParent1(mount.directory, below);
    return isWritable(directory) ? [[name, directory] as const] : [];
  });
  const parents = bare(Object.fromEntries(found) as GroupDirectories);
  if (parents.memory === undefined || parents.pids === undefined) return undefined;
  return { version: 1, parents, swapAccounting: existsSync(join(parents.memory, 'memory.memsw.limit_in_bytes')) };
}

function makeParent1(root: string, parent: string): void {
  let directory = root;
  for (const name of parent.split('/').filter(Boolean)) {
    directory = join(directory, name);
    makeGroup(directory);
    inheritCpuset(directory);
  }
}

/**
 * Copies the cpuset of the parent. A new cpuset of version 1 is empty, and takes no process until it has CPUs and
 * memory nodes.
 */
function inheritCpuset(directory: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    if (existsSync(join(directory, file)) && readText(join(directory, file)).trim() === '')
      writeFileSync(join(directory, file), readText(join(dirname(directory), file)));
}

function noCgroups({ mounts }: Hierarchies, parent: string | undefined): NoCgroups {
  if (mounts.length === 0) {
    return { version: undefined, reason: 'no cgroup file system is mounted', fix: 'mount cgroup2 on /sys/fs/cgroup' };
  }
  return {
    version: undefined,
    reason: `this process may not create cgroups with the memory and pids controllers${parent === undefined ? '' : ` in ${parent}`}`,
    fix: 'run it in a delegated cgroup, for example with `systemd-run --user --scope -p Delegate=yes`',
  };
}
