import { closeSync, fstatSync, readFileSync } from 'node:fs';
import type { IdMapEntry } from '../features/id-map';
import type { NamespaceType } from '../features/namespaces';
import { nsId, nsOwnerUid, nsParent, nsUserns } from '../sys/namespace';
import { membersOf } from './list';

/** What can be known of a namespace. Plain data. */
export interface NamespaceInfo {
  readonly type: NamespaceType;
  readonly inode: number;
  /** Never comes again; undefined before Linux 6.18. */
  readonly id?: bigint;
  /** Inode of the user namespace that owns it, and uid of who made that one, as the caller sees it. */
  readonly owner?: number;
  readonly ownerUid?: number;
  /** Inode of the parent, of pid and user namespaces. */
  readonly parent?: number;
  /** Processes in it that the caller may see. */
  readonly members: readonly number[];
  /** Of a user namespace with a member that can be read. */
  readonly uidMap?: readonly IdMapEntry[];
  readonly gidMap?: readonly IdMapEntry[];
}

export function inspectNamespace(fd: number, type: NamespaceType, inode: number): NamespaceInfo {
  const members = membersOf(type, inode);
  const owner = attempt(() => withFd(nsUserns(fd), (user) => ({ owner: fstatSync(user).ino, ownerUid: nsOwnerUid(user) })));
  const own = type === 'user' ? attempt(() => ({ ownerUid: nsOwnerUid(fd) })) : {};
  return {
    type,
    inode,
    ...attempt(() => ({ id: nsId(fd) })),
    ...owner,
    ...own,
    ...attempt(() => withFd(nsParent(fd), (parent) => ({ parent: fstatSync(parent).ino }))),
    members,
    ...(type === 'user' ? maps(members) : {}),
  };
}

function maps(members: readonly number[]): Partial<Pick<NamespaceInfo, 'uidMap' | 'gidMap'>> {
  for (const pid of members) {
    const found = attempt(() => ({ uidMap: readMap(`/proc/${pid}/uid_map`), gidMap: readMap(`/proc/${pid}/gid_map`) }));
    if ('uidMap' in found) return found;
  }
  return {};
}

function readMap(path: string): readonly IdMapEntry[] {
  return readFileSync(path, 'latin1')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [inside = 0, outside = 0, count = 0] = line.trim().split(/\s+/).map(Number);
      return { inside, outside, count };
    });
}

function withFd<R>(fd: number, use: (fd: number) => R): R {
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

// What the kernel does not tell, or not to this caller, is left out.
function attempt<R extends object>(read: () => R): Partial<R> {
  try {
    return read();
  } catch {
    return {};
  }
}
