import { call, ioctl } from './call';

/**
 * Leaves namespaces for new ones, unshare(2), Linux 2.6.16. Acts on the calling thread only: Node's other threads stay.
 * NEWUSER is impossible in Node (EINVAL: it has several threads), NEWPID and NEWTIME concern children alone, and NEWNS
 * separates the thread's working directory. For programs use `spawnIsolated`.
 * Throws SysError: EPERM, EINVAL, ENOSPC.
 */
export function unshare(flags: number): void {
  call('unshare', flags);
}

/**
 * Enters a namespace by its descriptor, or, with a pidfd and a mask of CLONE_NEW*, those of a process (Linux 5.8), setns(2).
 * Acts on the calling thread only. User namespaces (EINVAL) and mount namespaces (EINVAL, the threads share their working
 * directory) are impossible in Node. `type` 0 takes any. Throws SysError: EBADF, EINVAL, EPERM, ESRCH.
 */
export function setns(fd: number, type = 0): void {
  call('setns', fd, type);
}

/** Host name of the calling thread's uts namespace, sethostname(2). Throws SysError: EPERM, EINVAL (over 64 bytes). */
export function sethostname(name: string): void {
  call('sethostname', name, Buffer.byteLength(name));
}

/** NIS domain name of the calling thread's uts namespace, setdomainname(2). Throws SysError: EPERM, EINVAL. */
export function setdomainname(name: string): void {
  call('setdomainname', name, Buffer.byteLength(name));
}

/** CLONE_NEW* of a namespace descriptor, NS_GET_NSTYPE of ioctl_ns(2), Linux 4.11. Throws SysError: ENOTTY for another file. */
export function nsType(fd: number): number {
  return ioctl(fd, 0xb703, 'NS_GET_NSTYPE');
}

/**
 * The user namespace that owns a namespace, NS_GET_USERNS of ioctl_ns(2), Linux 4.9: a new descriptor.
 * Throws SysError: EPERM if it lies outside of the caller's own.
 */
export function nsUserns(fd: number): number {
  return ioctl(fd, 0xb701, 'NS_GET_USERNS');
}

/**
 * The parent of a pid or user namespace, NS_GET_PARENT of ioctl_ns(2), Linux 4.9: a new descriptor.
 * Throws SysError: EINVAL for other types, EPERM if it lies outside of the caller's own.
 */
export function nsParent(fd: number): number {
  return ioctl(fd, 0xb702, 'NS_GET_PARENT');
}

/** Uid, as the caller sees it, of who made a user namespace, NS_GET_OWNER_UID of ioctl_ns(2), Linux 4.11. Throws SysError: EINVAL. */
export function nsOwnerUid(fd: number): number {
  const uid = new Uint32Array(1);
  ioctl(fd, 0xb704, 'NS_GET_OWNER_UID', uid);
  return uid[0] ?? 0;
}

/** The number of a namespace that never comes again while the machine runs, NS_GET_ID, Linux 6.18. Throws SysError: ENOTTY before. */
export function nsId(fd: number): bigint {
  const id = new BigUint64Array(1);
  ioctl(fd, 0x8008b70d, 'NS_GET_ID', id);
  return id[0] ?? 0n;
}

/** The number of a mount namespace by which listmount(2) and statmount(2) know it, NS_GET_MNTNS_ID, Linux 6.11. Throws SysError: ENOTTY. */
export function nsMntnsId(fd: number): bigint {
  const id = new BigUint64Array(1);
  ioctl(fd, 0x8008b705, 'NS_GET_MNTNS_ID', id);
  return id[0] ?? 0n;
}

/** Number of mounts in a mount namespace, NS_MNT_GET_INFO, Linux 6.12. Throws SysError: ENOTTY. */
export function nsMountCount(fd: number): number {
  const info = Buffer.alloc(16);
  ioctl(fd, 0x8010b70a, 'NS_MNT_GET_INFO', info);
  return info.readUInt32LE(4);
}

/** Which process of a pid namespace has, in the caller's, which number: NS_GET_PID_FROM_PIDNS, Linux 6.11. Throws SysError: ESRCH. */
export function pidFromPidns(fd: number, pidInside: number): number {
  return ioctl(fd, 0x8004b706, 'NS_GET_PID_FROM_PIDNS', pidInside);
}

/** The number, in a pid namespace, of a process of the caller's: NS_GET_PID_IN_PIDNS, Linux 6.11. Throws SysError: ESRCH. */
export function pidInPidns(fd: number, pid: number): number {
  return ioctl(fd, 0x8004b708, 'NS_GET_PID_IN_PIDNS', pid);
}
