import { loadAddon } from './load-addon';

declare const sessionBrand: unique symbol;

/** A running launcher. Opaque. */
export interface NativeSession {
  readonly [sessionBrand]: true;
}

/** A watched descriptor. Opaque. */
export interface NativeWatch {
  readonly [sessionBrand]: false;
}

/** A number, a 64-bit number, or a buffer, of which the address is passed. Null is 0. */
export type SyscallArgument = number | bigint | ArrayBufferView | null;

/** Channels of a session: that of the keeper, that of init, and the exit of the keeper (its pidfd). */
export const channel = { control: 0, init: 1, keeperEnd: 2 } as const;

/**
 * Values of `stdio` entries other than descriptors to pass: pipes and a socket pair to create for the program, a mount
 * namespace without mounts of the host, and a detached procfs of this process's pid namespace. The last two are created
 * together and must be used together.
 */
export const stdioKind = { readPipe: -1, writePipe: -2, socketPair: -3, emptyMounts: -4, procfs: -5 } as const;

/** Functions of the addon. A negative result is `-errno`. */
export interface Native {
  /**
   * Starts a launcher. `launcherFd` -1: the embedded one. `results`: errno, number of the failed system call, pid, then
   * this side's descriptor of each stdio entry.
   */
  launch(plan: Uint8Array, stdio: Int32Array, launcherFd: number, uid: number, gid: number, results: Int32Array): NativeSession | undefined;
  watch(session: NativeSession, onReadable: (channel: number) => void): number;
  adopt(session: NativeSession): void;
  /**
   * Reads one message. `results`: host pid of the process that the message is about, number of descriptors passed with
   * it, these descriptors. Returns the size of the message, 0 at EOF.
   */
  receive(session: NativeSession, channel: number, buffer: Uint8Array, results: Int32Array): number;
  send(session: NativeSession, channel: number, bytes: Uint8Array): number;
  /**
   * Starts another program in the sandbox. `results`: errno, number of the failed system call, then this side's
   * descriptor of each stdio entry.
   */
  spawnProgram(
    session: NativeSession,
    id: number,
    plan: Uint8Array,
    stdio: Int32Array,
    uid: number,
    gid: number,
    results: Int32Array,
  ): void;
  /** Takes ownership of descriptors until the session is closed, at most 32. An empty list closes them now. */
  hold(session: NativeSession, fds: Int32Array): void;
  refWatch(watch: NativeWatch, on: number): void;
  fd(session: NativeSession, channel: number): number;
  ref(session: NativeSession, on: number): void;
  /**
   * Ends the sandbox. With `keeperEnded` 1, reaps the keeper, frees the session, and returns the keeper's exit status,
   * or the negative number of the signal that killed it.
   */
  close(session: NativeSession, keeperEnded: number): number;
  image(): ArrayBuffer;
  /**
   * Creates the mount namespace and procfs of stdioKind.emptyMounts and stdioKind.procfs. Keeps existing ones, for up
   * to 64 uses.
   */
  emptyMounts(): number;
  /** Calls ppoll(2). Each entry is `fd << 3 | events`, and is replaced by its revents. */
  poll(entries: Int32Array, timeoutMs: number): number;
  /** Takes an OFD write lock on one byte. */
  lockByte(fd: number, index: number): number;
  /** Makes any system call by number. */
  syscall(number: number, ...args: readonly SyscallArgument[]): number;
  /**
   * As `syscall`, on a thread of libuv's pool. Unless `uid` is -1, with `uid` and `gid` as file system ids,
   * setfsuid(2).
   */
  syscallLater(callback: (result: number) => void, uid: number, gid: number, number: number, ...args: readonly SyscallArgument[]): void;
  /** Returns the address of a buffer, for structures that contain pointers. */
  address(buffer: ArrayBufferView): bigint;
  /**
   * Calls clone3(2) and execve(2) in the child. `results`: errno, number of the failed system call, pid, pidfd,
   * descriptor to write a byte to so that the child continues, descriptor to read an error of the child's exec from.
   */
  cloneExec(args: BigUint64Array, path: Uint8Array, argv: Uint8Array, envp: Uint8Array, fds: Int32Array, results: Int32Array): void;
  /**
   * Carries out requests in a child that shares this process's descriptors and enters the given namespaces (-1: none).
   * `fresh`: 1 creates a network namespace, 2 creates it in a new user namespace. `results`: errno and number of the
   * system call if the child as a whole failed.
   */
  inNamespace(userFd: number, netFd: number, fresh: 0 | 1 | 2, requests: Uint8Array, results: Int32Array): void;
  /**
   * Reads namespaces of a process: one inode for each NUL-terminated name in its directory /proc/<pid>/ns, 0 if it
   * cannot be read.
   */
  nsLinks(directory: Uint8Array, names: Uint8Array, inodes: Uint32Array): number;
  /**
   * Resolves NUL-terminated paths to files: device and inode of each, zeros if a path cannot be resolved. With `timed`
   * 1 also a third number, the time of the last change (st_ctim) in ns.
   */
  fileIds(paths: Uint8Array, ids: BigUint64Array, timed: 0 | 1): void;
  /** Returns 1 if all paths still have the `ids` that `fileIds` found, else 0. */
  sameFiles(paths: Uint8Array, ids: BigUint64Array, timed: 0 | 1): 0 | 1;
  /** Calls `onReady` each time the descriptor is ready. `events`: 1 readable, 2 writable, 8 priority. */
  watchFd(fd: number, events: number, onReady: (events: number) => void): NativeWatch | number;
  unwatchFd(watch: NativeWatch): void;
  /**
   * Starts to create a network namespace with its loopback up, on another thread, unless one exists or is being
   * created. After a failure it is not tried again.
   */
  makeNet(sysctls: Uint8Array): void;
  /**
   * Returns the descriptor of that network namespace, now owned by the caller, or -1. With `wait` 1, waits for one that
   * is being created.
   */
  takeNet(wait: 0 | 1): number;
  /**
   * Takes ownership of a descriptor until this thread ends or `dropFd` closes it, at most 32. Returns false if there is
   * no room.
   */
  keepFd(fd: number): boolean;
  dropFd(fd: number): void;
}

let loaded: Native | undefined;

/** Returns the addon. It is loaded at first use, so that importing nsjs works everywhere. */
export function native(): Native {
  loaded ??= loadAddon() as Native;
  return loaded;
}
