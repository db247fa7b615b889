import { closeSync, fstatSync, readFileSync } from 'node:fs';
import type { IdMapEntry } from '../features/id-map';
import type { NamespaceType } from '../features/namespaces';
import { nsId, nsOwnerUid, nsParent, nsUserns } from '../sys/namespace';
import { membersOf } from './list';

/** Information about a namespace. Plain data. */
export interface NamespaceInfo {
  readonly type: NamespaceType;
  readonly inode: number;
  /** Unique id, not reused until the machine reboots. Undefined before Linux 6.18. */
  readonly id?: bigint;
  /** Inode of the owning user namespace, and uid of its creator as mapped in the caller's user namespace. */
  readonly owner?: number;
  readonly ownerUid?: number;
  /** Inode of the parent. Only for pid and user namespaces. */
  readonly parent?: number;
  /** Pids of the processes in it that the caller may see. */
  readonly members: readonly number[];
  /** Id maps. Only for a user namespace with a member whose maps the caller may read. */
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

// Omits information that the kernel does not provide, or not to this caller.
function attempt<R extends object>(read: () => R): Partial<R> {
  try {
    return read();
  } catch {
    return {};
  }
}
