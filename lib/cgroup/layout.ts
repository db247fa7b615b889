import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Controllers that nsjs limits with, cgroups(7). */
export type Controller = 'memory' | 'pids';

/** Where sandboxes' control groups can be made. */
export interface CgroupLayout {
  readonly version: 1 | 2;
  /** The folder to make a group in, for each controller that works. */
  readonly parents: Readonly<Partial<Record<Controller, string>>>;
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

interface Membership {
  /** Controllers of a version 1 hierarchy; empty for version 2. */
  readonly controllers: readonly string[];
  readonly path: string;
}

interface CgroupMount {
  readonly version: 1 | 2;
  readonly folder: string;
  readonly root: string;
  readonly options: readonly string[];
}

const controllers = ['memory', 'pids'] as const;

let known: CgroupLayout | NoCgroups | undefined;

/** Looks once where this process may make control groups. */
export function cgroupLayout(): CgroupLayout | NoCgroups {
  known ??= Object.freeze(find());
  return known;
}

let knownFreezer: FreezerLayout | undefined | null = null;

/** Looks once where a group that can be frozen can be made: version 2 even where the controllers sit on version 1. */
export function freezerLayout(): FreezerLayout | undefined {
  if (knownFreezer === null) knownFreezer = findFreezer();
  return knownFreezer;
}

function findFreezer(): FreezerLayout | undefined {
  const layout = cgroupLayout();
  if (layout.version === 2) return { version: 2, parent: layout.parents.memory ?? '' };
  const memberships = parseMemberships(readText('/proc/self/cgroup'));
  const mounts = parseMounts(readText('/proc/self/mountinfo'));
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

function find(): CgroupLayout | NoCgroups {
  const memberships = parseMemberships(readText('/proc/self/cgroup'));
  const mounts = parseMounts(readText('/proc/self/mountinfo'));
  return findVersion2(memberships, mounts) ?? findVersion1(memberships, mounts) ?? noCgroups(mounts);
}

/** /proc/self/cgroup: `5:pids:/path`, `0::/path`. */
export function parseMemberships(text: string): readonly Membership[] {
  return text.split('\n').flatMap((line) => {
    const [, names, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    return names === undefined || path === undefined ? [] : [{ controllers: names === '' ? [] : names.split(','), path }];
  });
}

/** The control group file systems in mountinfo, proc_pid_mountinfo(5). */
export function parseMounts(text: string): readonly CgroupMount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '', folder = ''] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    return [
      { version: type === 'cgroup2' ? 2 : 1, folder: unescapePath(folder), root: unescapePath(root), options: options.split(',') } as const,
    ];
  });
}

// No group with processes can have children with controllers, so the group of this process will not do unless it is
// the root; a group above it that passes the controllers on and may be written to will.
function findVersion2(memberships: readonly Membership[], mounts: readonly CgroupMount[]): CgroupLayout | undefined {
  const mount = mounts.find(({ version }) => version === 2);
  const own = memberships.find((membership) => membership.controllers.length === 0);
  if (!mount || !own) return undefined;
  for (let folder = folderOf(mount, own.path); folder.length >= mount.folder.length; folder = dirname(folder)) {
    const passedOn = readText(join(folder, 'cgroup.subtree_control')).trim().split(' ');
    if (controllers.every((name) => passedOn.includes(name)) && isWritable(folder) && isWritable(join(folder, 'cgroup.procs'))) {
      return { version: 2, parents: { memory: folder, pids: folder }, swapAccounting: true };
    }
  }
  return undefined;
}

function findVersion1(memberships: readonly Membership[], mounts: readonly CgroupMount[]): CgroupLayout | undefined {
  const found = controllers.flatMap((name) => {
    const mount = mounts.find(({ version, options }) => version === 1 && options.includes(name));
    const own = memberships.find((membership) => membership.controllers.includes(name));
    const folder = mount && own ? folderOf(mount, own.path) : undefined;
    return folder && isWritable(folder) ? [[name, folder] as const] : [];
  });
  if (found.length < controllers.length) return undefined;
  const parents = Object.fromEntries(found) as Record<Controller, string>;
  return { version: 1, parents, swapAccounting: existsSync(join(parents.memory, 'memory.memsw.limit_in_bytes')) };
}

function noCgroups(mounts: readonly CgroupMount[]): NoCgroups {
  if (mounts.length === 0) {
    return { version: undefined, reason: 'no cgroup file system is mounted', fix: 'mount cgroup2 on /sys/fs/cgroup' };
  }
  return {
    version: undefined,
    reason: 'this process may not make control groups with the memory and pids controllers',
    fix: 'run it in a delegated group, for example with `systemd-run --user --scope -p Delegate=yes`',
  };
}

function folderOf(mount: CgroupMount, path: string): string {
  const below = mount.root === '/' ? path : path.startsWith(mount.root) ? path.slice(mount.root.length) : '/';
  return join(mount.folder, below).replace(/\/$/, '');
}

function unescapePath(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
