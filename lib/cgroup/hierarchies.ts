import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseMountLines } from '../proc/mountinfo';

/** A hierarchy of cgroups that this process is a member of, cgroups(7). */
export interface Membership {
  /** Controllers of a version 1 hierarchy; empty for version 2. */
  readonly controllers: readonly string[];
  readonly path: string;
}

/** A mounted cgroup file system. */
export interface CgroupMount {
  readonly version: 1 | 2;
  readonly directory: string;
  readonly root: string;
  readonly options: readonly string[];
}

/** The cgroup memberships and cgroup mounts of this process. */
export interface Hierarchies {
  readonly memberships: readonly Membership[];
  readonly mounts: readonly CgroupMount[];
}

export function readHierarchies(): Hierarchies {
  return { memberships: parseMemberships(readText('/proc/self/cgroup')), mounts: parseMounts(readText('/proc/self/mountinfo')) };
}

/** Parses /proc/self/cgroup: `5:pids:/path`, `0::/path`. */
export function parseMemberships(text: string): readonly Membership[] {
  return text.split('\n').flatMap((line) => {
    const [, names, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    return names === undefined || path === undefined ? [] : [{ controllers: names === '' ? [] : names.split(','), path }];
  });
}

/** Parses the cgroup file systems from mountinfo, proc_pid_mountinfo(5). */
export function parseMounts(text: string): readonly CgroupMount[] {
  return parseMountLines(text).flatMap(({ type, target, root, options }) => {
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    return [{ version: type === 'cgroup2' ? 2 : 1, directory: target, root, options } as const];
  });
}

/** Returns the directory of a cgroup whose path is that of /proc/<pid>/cgroup. */
export function directoryOf(mount: CgroupMount, path: string): string {
  const isBelow = path === mount.root || path.startsWith(`${mount.root}/`);
  const below = mount.root === '/' ? path : isBelow ? path.slice(mount.root.length) : '/';
  return join(mount.directory, below).replace(/\/$/, '');
}

/** Reads a file as text; an empty string if it cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

export function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
