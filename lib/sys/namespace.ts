import { call, ioctl } from './call';

/**
 * Moves the calling thread into new namespaces, unshare(2), Linux 2.6.16. Node's other threads stay where they are.
 * NEWUSER fails in Node (EINVAL, because the process has several threads), NEWPID and NEWTIME affect children only, and
 * NEWNS gives the thread a working directory of its own. To run a program in new namespaces, use `spawnIsolated`.
 * Throws SysError: EPERM, EINVAL, ENOSPC.
 */
export function unshare(flags: number): void {
  call('unshare', flags);
}

/**
 * Moves the calling thread into a namespace by its descriptor, or, with a pidfd and a mask of CLONE_NEW*, into
 * namespaces of a process (Linux 5.8), setns(2). Fails in Node for user namespaces (EINVAL) and mount namespaces
 * (EINVAL, because the threads share their working directory). `type` 0 allows a namespace of any type. Throws
 * SysError: EBADF, EINVAL, EPERM, ESRCH.
 */
export function setns(fd: number, type = 0): void {
  call('setns', fd, type);
}

/**
 * Sets the host name of the calling thread's uts namespace, sethostname(2). Throws SysError: EPERM, EINVAL (over 64
 * bytes).
 */
export function sethostname(name: string): void {
  call('sethostname', name, Buffer.byteLength(name));
}

/** Sets the NIS domain name of the calling thread's uts namespace, setdomainname(2). Throws SysError: EPERM, EINVAL. */
export function setdomainname(name: string): void {
  call('setdomainname', name, Buffer.byteLength(name));
}

/**
 * Returns the type of a namespace descriptor as its CLONE_NEW* flag, NS_GET_NSTYPE of ioctl_ns(2), Linux 4.11. Throws
 * SysError: ENOTTY if the descriptor is not of a namespace.
 */
export function nsType(fd: number): number {
  return ioctl(fd, 0xb703, 'NS_GET_NSTYPE');
}

/**
 * Returns a new descriptor of the user namespace that owns a namespace, NS_GET_USERNS of ioctl_ns(2), Linux 4.9.
 * Throws SysError: EPERM if the owner is outside of the caller's user namespace.
 */
export function nsUserns(fd: number): number {
  return ioctl(fd, 0xb701, 'NS_GET_USERNS');
}

/**
 * Returns a new descriptor of the parent of a pid or user namespace, NS_GET_PARENT of ioctl_ns(2), Linux 4.9.
 * Throws SysError: EINVAL for other types, EPERM if the parent is outside of the caller's namespace.
 */
export function nsParent(fd: number): number {
  return ioctl(fd, 0xb702, 'NS_GET_PARENT');
}

/**
 * Returns the uid of the creator of a user namespace, as mapped in the caller's user namespace, NS_GET_OWNER_UID of
 * ioctl_ns(2), Linux 4.11.
 * Throws SysError: EINVAL.
 */
export function nsOwnerUid(fd: number): number {
  const uid = new Uint32Array(1);
  ioctl(fd, 0xb704, 'NS_GET_OWNER_UID', uid);
  return uid[0] ?? 0;
}

/**
 * Returns the unique id of a namespace, which is not reused until the machine reboots, NS_GET_ID, Linux 6.18. Throws
 * SysError: ENOTTY on an older kernel.
 */
export function nsId(fd: number): bigint {
  const id = new BigUint64Array(1);
  ioctl(fd, 0x8008b70d, 'NS_GET_ID', id);
  return id[0] ?? 0n;
}

/**
 * Returns the id of a mount namespace for listmount(2) and statmount(2), NS_GET_MNTNS_ID, Linux 6.11. Throws SysError:
 * ENOTTY.
 */
export function nsMntnsId(fd: number): bigint {
  const id = new BigUint64Array(1);
  ioctl(fd, 0x8008b705, 'NS_GET_MNTNS_ID', id);
  return id[0] ?? 0n;
}

/** Returns the number of mounts in a mount namespace, NS_MNT_GET_INFO, Linux 6.12. Throws SysError: ENOTTY. */
export function nsMountCount(fd: number): number {
  const info = Buffer.alloc(16);
  ioctl(fd, 0x8010b70a, 'NS_MNT_GET_INFO', info);
  return info.readUInt32LE(4);
}

/**
 * Translates a pid of a pid namespace into the pid of the same process in the caller's pid namespace,
 * NS_GET_PID_FROM_PIDNS, Linux 6.11.
 * Throws SysError: ESRCH.
 */
export function pidFromPidns(fd: number, pidInside: number): number {
  return ioctl(fd, 0x8004b706, 'NS_GET_PID_FROM_PIDNS', pidInside);
}

/**
 * Translates a pid of the caller's pid namespace into the pid of the same process in another pid namespace,
 * NS_GET_PID_IN_PIDNS, Linux 6.11.
 * Throws SysError: ESRCH.
 */
export function pidInPidns(fd: number, pid: number): number {
  return ioctl(fd, 0x8004b708, 'NS_GET_PID_IN_PIDNS', pid);
}
