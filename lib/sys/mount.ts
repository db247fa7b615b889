import { call, callLater } from './call';
import { STATMOUNT } from './constants';

/**
 * Calls mount(2). Acts on the calling thread's mount namespace, which in Node is that of the whole process.
 * Throws SysError: EPERM, ENOENT, EINVAL, EBUSY, ENODEV.
 */
export function mount(source: string | null, target: string, type: string | null, flags = 0, data: string | null = null): void {
  call('mount', source, target, type, flags, data);
}

/** As {@link mount}, on a thread of libuv's pool: mounting a network or FUSE file system can block. */
export async function mountAsync(
  source: string | null,
  target: string,
  type: string | null,
  flags = 0,
  data: string | null = null,
): Promise<void> {
  await callLater('mount', source, target, type, flags, data);
}

/** Unmounts a file system, umount2(2), with flags of {@link MNT}. Throws SysError: EPERM, EBUSY, EINVAL, EAGAIN. */
export function umount2(target: string, flags = 0): void {
  call('umount2', target, flags);
}

/** As {@link umount2}, on a thread of libuv's pool. */
export async function umount2Async(target: string, flags = 0): Promise<void> {
  await callLater('umount2', target, flags);
}

/**
 * Changes the root mount of the calling thread's mount namespace, pivot_root(2). Every process whose root was the old
 * root mount moves to the new one.
 * Throws SysError: EBUSY, EINVAL, ENOTDIR, EPERM.
 */
export function pivotRoot(newRoot: string, putOld: string): void {
  call('pivot_root', newRoot, putOld);
}

/**
 * Returns a close-on-exec descriptor of a context for a new file system, fsopen(2), Linux 5.2. Throws SysError: ENODEV,
 * EPERM.
 */
export function fsopen(type: string): number {
  return call('fsopen', type, 1);
}

/**
 * Sets a parameter of a file system context, or runs a command on it (see {@link FSCONFIG}), fsconfig(2), Linux 5.2.
 * Throws SysError: EINVAL, EPERM, EBUSY.
 */
export function fsconfig(fd: number, command: number, key: string | null = null, value: string | Uint8Array | null = null, aux = 0): void {
  call('fsconfig', fd, command, key, value, aux);
}

/** As {@link fsconfig}, on a thread of libuv's pool: CMD_CREATE may wait for a server. */
export async function fsconfigAsync(
  fd: number,
  command: number,
  key: string | null = null,
  value: string | Uint8Array | null = null,
  aux = 0,
): Promise<void> {
  await callLater('fsconfig', fd, command, key, value, aux);
}

/**
 * Returns a descriptor of a detached mount of a context's file system, fsmount(2), Linux 5.2. `attributes`: bits of
 * {@link MOUNT_ATTR}. Throws SysError: EBUSY, EINVAL, EPERM.
 */
export function fsmount(fd: number, attributes = 0): number {
  return call('fsmount', fd, 1, attributes);
}

/** Returns a context to reconfigure an existing mount, fspick(2), Linux 5.2. Throws SysError: EPERM, EINVAL, ENOENT. */
export function fspick(dirFd: number, path: string, flags = 0): number {
  return call('fspick', dirFd, path, flags | 1);
}

/**
 * Returns a descriptor of a mount or, with OPEN_TREE.CLONE, of a detached copy of it, open_tree(2), Linux 5.2. Throws
 * SysError: EINVAL, EPERM, ENOENT.
 */
export function openTree(dirFd: number, path: string, flags: number): number {
  return call('open_tree', dirFd, path, flags);
}

/** As {@link openTree}, on a thread of libuv's pool. */
export async function openTreeAsync(dirFd: number, path: string, flags: number): Promise<number> {
  return callLater('open_tree', dirFd, path, flags);
}

/** Changes that {@link mountSetattr} makes. */
export interface MountAttr {
  /** Bits of {@link MOUNT_ATTR} to set and to clear. */
  readonly set?: number;
  readonly clear?: number;
  /** MS.PRIVATE, MS.SLAVE, MS.SHARED or MS.UNBINDABLE. 0 keeps the current propagation. */
  readonly propagation?: number;
  /** Descriptor of a user namespace whose id map the mount gets. Needs MOUNT_ATTR.IDMAP in `set`. */
  readonly usernsFd?: number;
}

const attrSize = 32;

const attrBytes = ({ set = 0, clear = 0, propagation = 0, usernsFd = 0 }: MountAttr) =>
  BigUint64Array.from([set, clear, propagation, usernsFd].map(BigInt));

/**
 * Combines {@link openTree} and {@link mountSetattr}, so that a copy of an idmapped mount can get another id map,
 * open_tree_attr(2), Linux 6.15.
 * Throws SysError: EINVAL, EPERM.
 */
export function openTreeAttr(dirFd: number, path: string, flags: number, attr: MountAttr): number {
  return call('open_tree_attr', dirFd, path, flags, attrBytes(attr), attrSize);
}

/**
 * Attaches or moves a mount, move_mount(2), Linux 5.2 (MOVE_MOUNT.BENEATH: Linux 6.5). Throws SysError: EINVAL, EPERM,
 * ELOOP, ENOENT.
 */
export function moveMount(fromFd: number, fromPath: string, toFd: number, toPath: string, flags = 0): void {
  call('move_mount', fromFd, fromPath, toFd, toPath, flags);
}

/**
 * Changes attributes of a mount, with AT.RECURSIVE also of all mounts below it, mount_setattr(2), Linux 5.12. Throws
 * SysError: EINVAL, EPERM, EBUSY.
 */
export function mountSetattr(dirFd: number, path: string, flags: number, attr: MountAttr): void {
  call('mount_setattr', dirFd, path, flags, attrBytes(attr), attrSize);
}

/** Result of {@link statmount}. Optional fields that the mask did not request are undefined. */
export interface StatMount {
  readonly id: bigint;
  readonly parentId: bigint;
  /** The mount id in /proc/<pid>/mountinfo. The kernel reuses it. */
  readonly oldId: number;
  readonly attributes: number;
  readonly propagation: number;
  readonly fsType?: string;
  readonly root?: string;
  readonly point?: string;
  readonly options?: string;
}

const requestSize = 32;

// struct mnt_id_req: size, 4 unused bytes, mount id, parameter, mount namespace id.
function request(mount: bigint, parameter: bigint, namespace: bigint): Buffer {
  const bytes = Buffer.alloc(requestSize);
  bytes.writeUInt32LE(requestSize, 0);
  bytes.writeBigUInt64LE(mount, 8);
  bytes.writeBigUInt64LE(parameter, 16);
  bytes.writeBigUInt64LE(namespace, 24);
  return bytes;
}

const statmountStrings = 512;
const answerSize = 65_536;
const basic = STATMOUNT.MNT_BASIC | STATMOUNT.MNT_ROOT | STATMOUNT.MNT_POINT | STATMOUNT.FS_TYPE;

/**
 * Returns information about a mount by its unique id, statmount(2), Linux 6.8. `namespace`: a mount namespace by its
 * {@link nsMntnsId} (Linux 6.11), or 0n for the caller's. Throws SysError: ENOENT, EPERM, EOVERFLOW.
 */
export function statmount(id: bigint, mask: number = basic, namespace = 0n): StatMount {
  const answer = Buffer.alloc(answerSize);
  call('statmount', request(id, BigInt(mask), namespace), answer, answer.length, 0);
  const filled = Number(answer.readBigUInt64LE(8));
  const string = (bit: number, at: number) => {
    if ((filled & bit) === 0) return {};
    const start = statmountStrings + answer.readUInt32LE(at);
    return answer.toString('utf8', start, answer.indexOf(0, start));
  };
  const optional = <K extends string>(key: K, bit: number, at: number) => {
    const found = string(bit, at);
    return typeof found === 'string' ? ({ [key]: found } as { [P in K]: string }) : {};
  };
  return {
    id: answer.readBigUInt64LE(40),
    parentId: answer.readBigUInt64LE(48),
    oldId: answer.readUInt32LE(56),
    attributes: Number(answer.readBigUInt64LE(64)),
    propagation: Number(answer.readBigUInt64LE(72)),
    ...optional('fsType', STATMOUNT.FS_TYPE, 36),
    ...optional('root', STATMOUNT.MNT_ROOT, 104),
    ...optional('point', STATMOUNT.MNT_POINT, 108),
    ...optional('options', STATMOUNT.MNT_OPTS, 4),
  };
}

/** Id of the root mount in {@link listmount}. */
export const LSMT_ROOT = 0xffffffffffffffffn;
const batch = 512;

/**
 * Returns the unique ids of all mounts below one, listmount(2), Linux 6.8. `namespace`: as in {@link statmount}. Throws
 * SysError: ENOENT, EPERM.
 */
export function listmount(id: bigint = LSMT_ROOT, namespace = 0n): readonly bigint[] {
  const found: bigint[] = [];
  const ids = new BigUint64Array(batch);
  for (let last = 0n; ; last = found.at(-1) ?? 0n) {
    const count = call('listmount', request(id, last, namespace), ids, batch, 0);
    found.push(...ids.subarray(0, count));
    if (count < batch) return found;
  }
}
