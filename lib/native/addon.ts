import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NsError } from '../base/errors';

declare const sessionBrand: unique symbol;

/** One running launcher; opaque. */
export interface NativeSession {
  readonly [sessionBrand]: true;
}

/** A descriptor that is waited for; opaque. */
export interface NativeWatch {
  readonly [sessionBrand]: false;
}

/** A number, all 64 bits, or the address of a buffer. */
export type SyscallArgument = number | bigint | ArrayBufferView | null;

/** Channels of a session: the keeper's, init's, and the end of the keeper itself. */
export const channel = { control: 0, init: 1, keeperEnd: 2 } as const;

/**
 * Entries of `stdio` that are not descriptors to pass: what is made for the program, a mount namespace with nothing of the host in it, and, behind that, a procfs
 * of this process's pid namespace that is mounted nowhere.
 */
export const stdioKind = { readPipe: -1, writePipe: -2, socketPair: -3, emptyMounts: -4, procfs: -5 } as const;

/** The addon's surface. Results below zero are `-errno`. */
export interface Native {
  /** `results`: errno, number of the system call, pid, then this side's descriptor of each stdio entry. */
  launch(plan: Uint8Array, stdio: Int32Array, launcherFd: number, uid: number, gid: number, results: Int32Array): NativeSession | undefined;
  watch(session: NativeSession, onReadable: (channel: number) => void): number;
  adopt(session: NativeSession): void;
  /** `results`: pid, on the host, of the process that the message speaks of; number of descriptors beside it; these. 0 at its end. */
  receive(session: NativeSession, channel: number, buffer: Uint8Array, results: Int32Array): number;
  send(session: NativeSession, channel: number, bytes: Uint8Array): number;
  /** One more program; `results`: errno, number of the system call, then this side's descriptor of each stdio entry. */
  spawnProgram(
    session: NativeSession,
    id: number,
    plan: Uint8Array,
    stdio: Int32Array,
    uid: number,
    gid: number,
    results: Int32Array,
  ): void;
  /** These are closed with the session, or when none are given; 32 in all. */
  hold(session: NativeSession, fds: Int32Array): void;
  refWatch(watch: NativeWatch, on: number): void;
  fd(session: NativeSession, channel: number): number;
  ref(session: NativeSession, on: number): void;
  /** Ends the sandbox; with `keeperEnded` 1 frees the session. */
  close(session: NativeSession, keeperEnded: number): number;
  image(): ArrayBuffer;
  /** Makes what stdioKind.emptyMounts and procfs stand for, if it is not there. */
  emptyMounts(): number;
  /** ppoll(2): each entry is `fd << 3 | events`, and becomes its revents. */
  poll(entries: Int32Array, timeoutMs: number): number;
  /** An OFD write lock on one byte. */
  lockByte(fd: number, index: number): number;
  /** Any system call by number. */
  syscall(number: number, ...args: readonly SyscallArgument[]): number;
  /** The same on a thread of libuv's pool; with `uid` and `gid` for files, setfsuid(2), where `uid` is not -1. */
  syscallLater(callback: (result: number) => void, uid: number, gid: number, number: number, ...args: readonly SyscallArgument[]): void;
  /** Where a buffer lies, for structures that point to others. */
  address(buffer: ArrayBufferView): bigint;
  /** `results`: errno, number of the system call, pid, pidfd, descriptor that lets it go on, one that tells how exec went. */
  cloneExec(args: BigUint64Array, path: Uint8Array, argv: Uint8Array, envp: Uint8Array, fds: Int32Array, results: Int32Array): void;
  /**
   * A child that shares this process's descriptors does each request in other namespaces: -1 for none; `fresh`: 1 in a new network
   * namespace, 2 in one of a new user namespace. `results`: errno and number of the system call that failed for all.
   */
  inNamespace(userFd: number, netFd: number, fresh: 0 | 1 | 2, requests: Uint8Array, results: Int32Array): void;
  /** Namespaces of a process, by its directory /proc/<pid>/ns and names that end with zeros: one inode each, 0 for what is not to be seen. */
  nsLinks(folder: Uint8Array, names: Uint8Array, inodes: Uint32Array): number;
  /**
   * Which files paths lead to, that end with zeros: device and inode of each, zeros for what is not to be seen. With `timed` 1 a third number: when
   * it was changed last (st_ctim) in ns.
   */
  fileIds(paths: Uint8Array, ids: BigUint64Array, timed: 0 | 1): void;
  /** 1 where all of them are what `fileIds` has found, else 0. */
  sameFiles(paths: Uint8Array, ids: BigUint64Array, timed: 0 | 1): 0 | 1;
  /** Calls back each time the descriptor is ready (1 readable, 2 writable, 8 priority). */
  watchFd(fd: number, events: number, onReady: (events: number) => void): NativeWatch | number;
  unwatchFd(watch: NativeWatch): void;
  /** Begins to make a network namespace with its loopback up, unless there is one; where it fails there will be none. */
  makeNet(sysctls: Uint8Array): void;
  /** Its descriptor, the caller's from then on, or -1: with `wait` 1 that of one that is being made as well. */
  takeNet(wait: 0 | 1): number;
  /** Closes a descriptor when this thread ends, unless `dropFd` does before; 32 in all. Whether it does. */
  keepFd(fd: number): boolean;
  dropFd(fd: number): void;
}

let loaded: Native | undefined;

/**
 * The addon, loaded at first use so that importing nsjs works everywhere.
 * The order is fixed and no environment variable can redirect it: the prebuild of this machine, then a local build.
 */
export function native(): Native {
  loaded ??= load();
  return loaded;
}

function load(): Native {
  if (process.platform !== 'linux') {
    throw new NsError('ERR_NSJS_UNSUPPORTED', `nsjs runs on Linux, this is ${process.platform}`);
  }
  const root = join(__dirname, '..', '..');
  const candidates = [join(root, 'prebuilds', `linux-${process.arch}`, 'nsjs.node'), join(root, 'build', 'Release', 'nsjs.node')];
  const found = candidates.find((path) => existsSync(path));
  if (!found) {
    throw new NsError('ERR_NSJS_NATIVE', `no addon for linux-${process.arch}: looked for ${candidates.join(' and ')}`, {
      hint: isOwnPackage(root)
        ? 'in a checkout run "npm run build"; otherwise this architecture has no prebuild'
        : 'nsjs was bundled: its addon lies beside it, so mark nsjs as external',
    });
  }
  try {
    return require(found) as Native;
  } catch (cause) {
    throw new NsError('ERR_NSJS_NATIVE', `the addon ${found} could not be loaded`, { hint: loadHint(cause), cause });
  }
}

// A bundle lies in somebody else's package, or in none.
function isOwnPackage(root: string): boolean {
  try {
    return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly name?: unknown }).name === 'nsjs';
  } catch {
    return false;
  }
}

function loadHint(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (
    code === 'ERR_DLOPEN_DISABLED' &&
    process.execArgv.some((word) => word.startsWith('--permission') || word.startsWith('--experimental-permission'))
  )
    return 'Node’s permission model keeps addons out: start Node with --allow-addons, and --allow-fs-read=* for what nsjs reads';
  if (code === 'ERR_DLOPEN_DISABLED') return 'Node was started with --no-addons';
  if (code === 'ERR_ACCESS_DENIED')
    return 'Node’s permission model keeps the file from being read: start Node with --allow-fs-read=* and --allow-addons';
  if (/GLIBC|libc\.so|libc\.musl/.test(message)) return 'it needs glibc 2.28 or later; see cause';
  return 'see cause';
}
