import { fstat, type Stats } from 'node:fs';
import { promisify, types } from 'node:util';
import { errnos } from '../base/errnos';
import { SysError } from '../base/errors';
import { parseTarget } from '../base/parse';
import { openFlags } from '../native/open-flags';
import { callAs, callLater, type FileOwner } from '../sys/call';
import { RESOLVE } from '../sys/constants';
import { close } from '../sys/file';

const statFd: (fd: number) => Promise<Stats> = promisify(fstat);

const again = 'EAGAIN';
const tries = 100;
const efbig = 27;
const howSize = 24;

/** Calls `use` with a descriptor, and closes the descriptor in any case. */
export async function withFd<T>(fd: number, use: (fd: number) => T | Promise<T>): Promise<T> {
  try {
    return await use(fd);
  } finally {
    close(fd);
  }
}

/** Calls `act`, and adds `path` to errors that have none. */
export async function naming<T>(path: string, act: () => T | Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!types.isNativeError(error) || (error as NodeJS.ErrnoException).path !== undefined) throw error;
    if (!(error instanceof SysError)) throw Object.assign(error, { path });
    const { errno, syscall, origin, hint } = error;
    throw new SysError({ errno: -errno, syscall, origin, path, hint });
  }
}

/**
 * A directory that other processes may write to, and its contents. The kernel resolves every path in one call that
 * follows no link and never leaves the directory (openat2(2)). An opened file is checked before it is used, and opening
 * never blocks.
 */
export class Root {
  /** `owner`: the ids for file operations, if they differ from those of this process. */
  constructor(
    readonly fd: number,
    private readonly owner: FileOwner | undefined,
  ) {}

  /** Opens a path. Throws a SysError: ELOOP for a symbolic link, ENOENT and the like. */
  async open(path: string, flags: number, mode = 0): Promise<number> {
    const name = parseTarget(path, 'path');
    // O_PATH never blocks, and openat2(2) rejects flags that have no effect with it.
    const patient = (flags & openFlags.path) === 0 ? openFlags.nonblock | openFlags.noctty : 0;
    const words = [
      flags | openFlags.cloexec | openFlags.nofollow | patient,
      mode,
      RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS,
    ];
    const how = BigUint64Array.from(words.map(BigInt));
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.call('openat2', this.fd, name === '/' ? '.' : name.slice(1), how, howSize);
      } catch (error) {
        // The kernel could not resolve the path reliably because of a concurrent rename (EAGAIN). Nothing was opened.
        if (!(error instanceof SysError) || error.code !== again || attempt === tries) throw explained(error, path);
      }
    }
  }

  /** Opens an O_PATH descriptor, which also works for links and devices. */
  openPath(path: string, flags = 0): Promise<number> {
    return this.open(path, openFlags.path | flags);
  }

  /** Opens a regular file and returns its descriptor and stats. Anything else is refused before it is read. */
  async openFile(path: string, flags: number, mode = 0): Promise<{ readonly fd: number; readonly stats: Stats }> {
    const fd = await this.open(path, flags, mode);
    try {
      const stats = await statFd(fd);
      if (stats.isFile()) return { fd, stats };
      throw new SysError({
        errno: stats.isDirectory() ? errnos.EISDIR : errnos.EINVAL,
        syscall: 'fstat',
        path,
        hint: 'it is not a regular file; other types are refused, because a FIFO, device or socket could block the caller',
      });
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** Calls `use` with a descriptor of the directory that holds a path and the last component of the path. */
  async parent<T>(path: string, use: (fd: number, name: string) => Promise<T>): Promise<T> {
    const target = parseTarget(path, 'path');
    if (target === '/')
      throw new SysError({ errno: errnos.EINVAL, syscall: 'openat2', path, hint: 'the root directory itself cannot be changed' });
    const at = target.lastIndexOf('/');
    return withFd(await this.openPath(target.slice(0, at) || '/', openFlags.directory), (fd) =>
      naming(path, () => use(fd, target.slice(at + 1))),
    );
  }

  /** Returns the stats of a path; for a symbolic link, those of the link itself. */
  async stat(path: string): Promise<Stats> {
    return withFd(await this.openPath(path), statFd);
  }

  /** Makes a system call that creates or changes files, with the ids of their owner. */
  call(name: string, ...args: Parameters<typeof callLater> extends [string, ...infer A] ? A : never): Promise<number> {
    return this.owner ? callAs(this.owner, name, ...args) : callLater(name, ...args);
  }
}

export function tooLarge(path: string, size: number, limit: number): SysError {
  return new SysError({ errno: efbig, syscall: 'read', path, hint: `${size} bytes exceed maxSize (${limit})` });
}

function explained(error: unknown, path: string): unknown {
  if (!(error instanceof SysError)) return error;
  const hint = error.code === 'ELOOP' ? 'the path contains a symbolic link, and links are not followed; use the real path' : undefined;
  return new SysError({ errno: -error.errno, syscall: error.syscall, path, hint });
}

/** Returns the target of a symbolic link. */
export async function readLink(root: Root, path: string): Promise<string> {
  return withFd(await root.openPath(path), async (fd) => {
    const target = Buffer.alloc(4096);
    // An empty path means the descriptor itself.
    return target.toString('utf8', 0, await callLater('readlinkat', fd, '', target, target.length));
  });
}

/** Throws a SysError for a name that is not valid UTF-8, which a JavaScript string cannot represent. */
export function checkName({ name, raw }: Entry, path: string): void {
  if (Buffer.from(`${name}\0`).equals(raw)) return;
  throw new SysError({
    errno: errnos.EILSEQ,
    syscall: 'getdents64',
    path: `${path}/${name}`,
    hint: 'the name is not valid UTF-8; rename or remove the entry first',
  });
}

/** An entry of a directory. */
export interface Entry {
  readonly name: string;
  /** The raw name with its terminating NUL. It need not be UTF-8. */
  readonly raw: Uint8Array;
  /** DT_* of getdents64(2). */
  readonly type: number;
}

export const entryType = { fifo: 1, character: 2, directory: 4, block: 6, file: 8, link: 10, socket: 12 } as const;
const batch = 16_384;
const headSize = 19;

/** Returns the entries of an open directory, without `.` and `..`. Throws a SysError if there are more than `limit`. */
export async function readEntries(fd: number, limit: number, path: string): Promise<readonly Entry[]> {
  const found: Entry[] = [];
  const buffer = Buffer.alloc(batch);
  await callLater('lseek', fd, 0, 0);
  for (;;) {
    const size = await callLater('getdents64', fd, buffer, batch);
    if (size === 0) return found;
    for (let at = 0; at < size; ) {
      const length = buffer.readUInt16LE(at + 16);
      const end = buffer.indexOf(0, at + headSize);
      const name = buffer.toString('utf8', at + headSize, end);
      if (name !== '.' && name !== '..')
        found.push({ name, raw: Uint8Array.from(buffer.subarray(at + headSize, end + 1)), type: buffer.readUInt8(at + 18) });
      at += length;
    }
    if (found.length > limit) throw new SysError({ errno: efbig, syscall: 'getdents64', path, hint: `more than ${limit} entries` });
  }
}
