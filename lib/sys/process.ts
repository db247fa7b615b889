import { errnos } from '../base/errnos';
import { OptionError, SysError } from '../base/errors';
import { native } from '../native/addon';
import { type Arch, syscallName } from '../seccomp/tables';
import { call, callLater, ioctl, text } from './call';
import { CLONE, W } from './constants';

/** A process that {@link clone3} created. The caller closes `pidfd`. */
export interface Cloned {
  readonly pid: number;
  readonly pidfd: number;
}

const maxFds = 64;
const maxWords = 4096;

/** Program, environment and namespaces of the process that {@link clone3} creates. */
export interface CloneArgs {
  /**
   * CLONE_NEW*, CLONE_INTO_CGROUP, CLONE_CLEAR_SIGHAND. CLONE_PIDFD is always added. Flags that share memory or
   * descriptors are refused.
   */
  readonly flags?: number | bigint;
  /** Path of the program. PATH is not searched. */
  readonly exec: string;
  readonly argv?: readonly string[];
  /** Environment, as `NAME=value`. Default: empty. */
  readonly env?: readonly string[];
  /**
   * This process's descriptors that the program gets as 0, 1, 2 and so on. -1 leaves a number closed. All other
   * descriptors are closed. Default: 0, 1 and 2 of this process.
   */
  readonly fds?: readonly number[];
  /** Descriptor of the directory of a version 2 cgroup to start in. Adds CLONE_INTO_CGROUP (Linux 5.7). */
  readonly cgroup?: number;
  /**
   * Pid of the process in each pid namespace, innermost first. Needs Linux 5.5 and CAP_CHECKPOINT_RESTORE or
   * CAP_SYS_ADMIN.
   */
  readonly setTid?: readonly number[];
  /**
   * Called before the child executes the program, for example to write its id maps. An exception ends the child and is
   * rethrown by {@link clone3}.
   */
  readonly beforeExec?: (child: Cloned) => void;
}

const sharing = 0x100n | 0x200n | 0x400n | 0x800n | 0x4000n | 0x8000n | 0x10000n; // VM FS FILES SIGHAND VFORK PARENT THREAD
const sigchld = 17n;
const statusSize = 8;

/**
 * Creates a process in new namespaces and executes a program in it, clone3(2), Linux 5.3. The child never returns into
 * JavaScript. It is a copy of this process until it executes the program, so the call takes longer the more memory Node
 * holds; sandboxes are not created this way. The calling thread is not changed. Throws SysError: EPERM, EINVAL, ENOSPC,
 * EEXIST (a tid that is in use), EBADF (not a version 2 cgroup), EAGAIN; also those of execve(2), after which the child
 * has exited.
 */
export function clone3(args: CloneArgs): Cloned {
  const intoGroup = args.cgroup === undefined ? 0n : CLONE.INTO_CGROUP;
  const flags = BigInt(args.flags ?? 0) | BigInt(CLONE.PIDFD) | intoGroup;
  for (const [name, entries, most] of [
    ['argv', args.argv, maxWords],
    ['env', args.env, maxWords],
    ['fds', args.fds, maxFds],
  ] as const) {
    if ((entries?.length ?? 0) > most) throw new OptionError(name, `at most ${most} entries`);
  }
  if ((flags & sharing) !== 0n)
    throw new SysError({ errno: errnos.EINVAL, syscall: 'clone3', hint: 'the child must not share memory or descriptors' });
  const tids = Int32Array.from(args.setTid ?? []);
  const words = new BigUint64Array(11);
  words[0] = flags;
  words[4] = sigchld;
  words[8] = tids.length > 0 ? native().address(tids) : 0n;
  words[9] = BigInt(tids.length);
  words[10] = BigInt(args.cgroup ?? 0);
  const results = new Int32Array(6);
  const list = (entries: readonly string[]) => Buffer.concat(entries.map((entry) => text('clone3', entry)));
  const fds = Int32Array.from(args.fds ?? [0, 1, 2]);
  native().cloneExec(words, text('clone3', args.exec), list(args.argv ?? [args.exec]), list(args.env ?? []), fds, results);
  const [errno = 0, nr = 0, pid = 0, pidfd = -1, go = -1, status = -1] = results;
  if (errno !== 0) throw new SysError({ errno, syscall: syscallName(nr, process.arch as Arch), path: args.exec });
  return release({ pid, pidfd }, go, status, args);
}

function release(child: Cloned, go: number, status: number, { beforeExec, exec }: CloneArgs): Cloned {
  const failed = Buffer.alloc(statusSize);
  try {
    refusePromise(beforeExec?.(child));
    call('write', go, Buffer.from('g'), 1);
    call('close', go);
    go = -1;
    if (call('read', status, failed, statusSize) === 0) return child;
    throw new SysError({ errno: failed.readInt32LE(0), syscall: syscallName(failed.readUInt32LE(4), process.arch as Arch), path: exec });
  } catch (error) {
    if (go >= 0) call('close', go);
    waitid(child.pidfd, W.EXITED);
    call('close', child.pidfd);
    throw error;
  } finally {
    call('close', status);
  }
}

function refusePromise(value: unknown): void {
  if (typeof value !== 'object' || value === null || !('then' in value)) return;
  (value as PromiseLike<unknown>).then(undefined, () => {});
  throw new OptionError('beforeExec', 'must not be async: the child is started as soon as it returns', 'ERR_INVALID_ARG_TYPE');
}

/**
 * Returns a descriptor that refers to a process, pidfd_open(2), Linux 5.3. The caller closes it.
 * Throws SysError: EINVAL, ESRCH, EMFILE.
 */
export function pidfdOpen(pid: number, flags = 0): number {
  return call('pidfd_open', pid, flags);
}

/**
 * Sends a signal to the process of a pidfd, pidfd_send_signal(2), Linux 5.1. Another process that reuses the pid never
 * gets it.
 * Throws SysError: EBADF, EINVAL, EPERM, ESRCH.
 */
export function pidfdSendSignal(pidfd: number, signal: number): void {
  call('pidfd_send_signal', pidfd, signal, null, 0);
}

/**
 * Returns a copy of a descriptor of another process, pidfd_getfd(2), Linux 5.6. Needs permission to ptrace(2) that
 * process.
 * Throws SysError: EBADF, EPERM, ESRCH, EMFILE.
 */
export function pidfdGetfd(pidfd: number, targetFd: number): number {
  return call('pidfd_getfd', pidfd, targetFd, 0);
}

/** Information that the kernel reports about the process of a pidfd. */
export interface PidfdInfo {
  readonly pid: number;
  readonly ppid: number;
  readonly ruid: number;
  readonly euid: number;
  readonly rgid: number;
  readonly egid: number;
  /** Id of its version 2 cgroup. Undefined if the kernel does not report it. */
  readonly cgroupId?: bigint;
  /** Wait status as of wait(2), after the process has been reaped (Linux 6.15). */
  readonly exitCode?: number;
}

const getInfo = 0xc040ff0b; // PIDFD_GET_INFO with the first version of struct pidfd_info
const infoMask = { pid: 1n, creds: 2n, cgroupId: 4n, exit: 8n } as const;

/**
 * Returns information about the process of a pidfd, also after it has exited, PIDFD_GET_INFO, Linux 6.13.
 * Throws SysError: ENOTTY or EINVAL on an older kernel, ESRCH if the process has been reaped and this was never called
 * for it before.
 */
export function pidfdInfo(pidfd: number): PidfdInfo {
  const info = Buffer.alloc(64);
  info.writeBigUInt64LE(infoMask.pid | infoMask.creds | infoMask.cgroupId | infoMask.exit, 0);
  ioctl(pidfd, getInfo, 'PIDFD_GET_INFO', info);
  const mask = info.readBigUInt64LE(0);
  const word = (index: number) => info.readUInt32LE(16 + index * 4);
  return {
    pid: word(0),
    ppid: word(2),
    ruid: word(3),
    rgid: word(4),
    euid: word(5),
    egid: word(6),
    ...(mask & infoMask.cgroupId ? { cgroupId: info.readBigUInt64LE(8) } : {}),
    ...(mask & infoMask.exit ? { exitCode: info.readInt32LE(60) } : {}),
  };
}

const namespaceRequests = {
  cgroup: 1,
  ipc: 2,
  mnt: 3,
  net: 4,
  pid: 5,
  pid_for_children: 6,
  time: 7,
  time_for_children: 8,
  user: 9,
  uts: 10,
} as const;

/**
 * Returns a descriptor of a namespace of the process of a pidfd, without using /proc, PIDFD_GET_*_NAMESPACE, Linux
 * 6.11. Needs permission to ptrace(2) that process. Throws SysError: ENOTTY on an older kernel, EPERM, ESRCH.
 */
export function pidfdNamespace(pidfd: number, type: keyof typeof namespaceRequests): number {
  const request = namespaceRequests[type];
  if (request === undefined) throw new OptionError('type', `unknown namespace type '${String(type)}'`);
  return ioctl(pidfd, 0xff00 | request, 'PIDFD_GET_NAMESPACE');
}

/** Status change of a child, waitid(2). */
export interface WaitStatus {
  readonly pid: number;
  /** CLD_EXITED 1, CLD_KILLED 2, CLD_DUMPED 3, CLD_STOPPED 5, CLD_CONTINUED 6. */
  readonly code: number;
  /** Exit code, or number of the signal. */
  readonly status: number;
}

const pidfdType = 3; // P_PIDFD
const siginfoSize = 128;

/**
 * Waits for a child of this process by its pidfd, waitid(2) with P_PIDFD, Linux 5.4. Blocks the event loop unless
 * W.NOHANG is among the options; then null means that the child's state has not changed.
 * Throws SysError: ECHILD if the process is not a child of this one or has already been waited for.
 */
export function waitid(pidfd: number, options: number): WaitStatus | null {
  const info = Buffer.alloc(siginfoSize);
  call('waitid', pidfdType, pidfd, info, options, null);
  return readSiginfo(info);
}

/** As {@link waitid}, on a thread of libuv's pool. Each pending call occupies a thread. */
export async function waitidAsync(pidfd: number, options: number): Promise<WaitStatus | null> {
  const info = Buffer.alloc(siginfoSize);
  await callLater('waitid', pidfdType, pidfd, info, options, null);
  return readSiginfo(info);
}

function readSiginfo(info: Buffer): WaitStatus | null {
  const pid = info.readInt32LE(16);
  return pid === 0 ? null : { pid, code: info.readInt32LE(8), status: info.readInt32LE(24) };
}
