import { errnos } from '../base/errnos';
import { SysError } from '../base/errors';
import { bare } from '../base/parse';
import { call, callLater } from './call';

/** Flags and mode of {@link openat2}. */
export interface OpenHow {
  /** O_* of open(2); O_CLOEXEC is always added. */
  readonly flags: number;
  readonly mode?: number;
  /** Flags of {@link RESOLVE}. */
  readonly resolve?: number;
}

const cloexec = 0o2000000;
const howSize = 24;

const how = (options: OpenHow) => {
  const { flags, mode = 0, resolve = 0 } = bare({ ...options });
  return BigUint64Array.from([flags | cloexec, mode, resolve].map(BigInt));
};

/**
 * Opens a path with restrictions on its resolution, openat2(2), Linux 5.6. Use it for paths that an untrusted program
 * may have prepared.
 * Throws SysError: ELOOP (a refused link), EXDEV (the path leaves its bounds), EAGAIN (a race; try again), and those of
 * open(2).
 */
export function openat2(dirFd: number, path: string, options: OpenHow): number {
  return call('openat2', dirFd, path, how(options), howSize);
}

/** As {@link openat2}, on a thread of libuv's pool: opening a FIFO or a file on a network file system can block. */
export function openat2Async(dirFd: number, path: string, options: OpenHow): Promise<number> {
  return callLater('openat2', dirFd, path, how(options), howSize);
}

/** A file handle: identifies a file without a descriptor or a path. Plain data. */
export interface FileHandle {
  readonly type: number;
  /** The handle's bytes in hexadecimal. */
  readonly bytes: string;
}

const maxHandle = 128;
const headSize = 8;

/**
 * Returns the handle of a file, name_to_handle_at(2), Linux 2.6.39. With '' and AT.EMPTY_PATH also of pidfds (Linux
 * 6.14) and of namespaces (Linux 6.18). Throws SysError: EOPNOTSUPP if the file system has no handles, ENOENT.
 */
export function nameToHandleAt(dirFd: number, path: string, flags = 0): FileHandle & { readonly mountId: number } {
  const handle = Buffer.alloc(headSize + maxHandle);
  const mountId = new Int32Array(1);
  handle.writeUInt32LE(maxHandle, 0);
  call('name_to_handle_at', dirFd, path, handle, mountId, flags);
  const size = handle.readUInt32LE(0);
  return { type: handle.readInt32LE(4), bytes: handle.toString('hex', headSize, headSize + size), mountId: mountId[0] ?? 0 };
}

/**
 * Values of `mountFd` in {@link openByHandleAt} for the file systems of pidfds (Linux 6.17) and of namespaces (Linux
 * 6.18).
 */
export const FD_PIDFS_ROOT = -10002;
export const FD_NSFS_ROOT = -10003;

/**
 * Opens a file by its handle, open_by_handle_at(2), Linux 2.6.39. Needs CAP_DAC_READ_SEARCH, except for pidfds and
 * namespaces.
 * Throws SysError: ESTALE if the file no longer exists, EPERM, EINVAL.
 */
export function openByHandleAt(mountFd: number, { type, bytes }: FileHandle, flags = 0): number {
  return call('open_by_handle_at', mountFd, handleBytes(type, bytes), flags | cloexec);
}

/** As {@link openByHandleAt}, on a thread of libuv's pool. */
export async function openByHandleAtAsync(mountFd: number, { type, bytes }: FileHandle, flags = 0): Promise<number> {
  return callLater('open_by_handle_at', mountFd, handleBytes(type, bytes), flags | cloexec);
}

function handleBytes(type: unknown, bytes: unknown): Buffer {
  const data = typeof bytes === 'string' ? Buffer.from(bytes, 'hex') : Buffer.alloc(0);
  if (typeof bytes !== 'string' || !Number.isInteger(type) || data.length > maxHandle || data.length * 2 !== bytes.length) {
    throw new SysError({
      errno: errnos.EINVAL,
      syscall: 'open_by_handle_at',
      hint: 'expected a handle with an integer `type` and at most 128 bytes in hexadecimal as `bytes`',
    });
  }
  const handle = Buffer.alloc(headSize + data.length);
  handle.writeUInt32LE(data.length, 0);
  handle.writeInt32LE(Number(type), 4);
  data.copy(handle, headSize);
  return handle;
}

/**
 * Closes a range of descriptors, or marks them close-on-exec (CLOSE_RANGE.CLOEXEC, Linux 5.11), close_range(2), Linux
 * 5.9. Descriptors belong to the whole process: closing those that Node itself uses breaks it. Throws SysError: EINVAL.
 */
export function closeRange(first: number, last: number, flags = 0): void {
  call('close_range', first, last, flags);
}

/** Creates a file in memory, memfd_create(2), Linux 3.17. Throws SysError: EINVAL, EACCES (vm.memfd_noexec). */
export function memfdCreate(name: string, flags: number): number {
  return call('memfd_create', name, flags);
}

/** Closes a descriptor, close(2). Throws SysError: EBADF. */
export function close(fd: number): void {
  call('close', fd);
}

/** Duplicates a descriptor as close-on-exec, F_DUPFD_CLOEXEC of fcntl(2). Throws SysError: EBADF, EMFILE. */
export function dup(fd: number): number {
  return call('fcntl', fd, 1030, 3);
}
