import { ftruncate, read, type Stats, write } from 'node:fs';
import { type FileChangeInfo, watch } from 'node:fs/promises';
import { promisify } from 'node:util';
import { OptionError } from '../base/errors';
import { type Bytes, isBytes, parseBoolean, parseBytes, parseInteger, parseObject, parseTarget } from '../base/parse';
import { openFlags } from '../native/open-flags';
import { type CopyOptions, defaultMaxEntries, parseLimits } from './budget';
import { copyIn, copyOut } from './copy';
import { removeTree } from './remove';
import { type Entry, entryType, naming, type Root, readEntries, tooLarge, withFd } from './root';

const readFd = promisify(read);
const writeFd = promisify(write);
const truncateFd = promisify(ftruncate);

const defaultMaxSize = 64 * 2 ** 20;
const chunk = 65_536;
const least = 4095;

/** An entry of a directory, as returned by {@link SandboxFs.readdir}. */
export interface DirectoryEntry {
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character-device' | 'block-device' | 'unknown';
}

/**
 * Access to the files of a running sandbox, for the process that opened it. It is safe while programs inside change the
 * files: no symbolic link is followed, no FIFO or device blocks a call, and size limits apply even to a file that grows
 * while it is read. Operations use the sandbox's own id: created files belong to it, and its permissions apply. Paths
 * are absolute paths inside. Errors are those of the kernel (SysError) with `path`: EINVAL for anything that is not a
 * regular file (EISDIR for a directory), EFBIG for exceeding a limit. Requires Linux 5.6.
 */
export class SandboxFs {
  private readonly root: () => Root;

  /** @internal `find` returns the root directory; it throws if the sandbox is closed. */
  constructor(find: () => Root) {
    this.root = find;
  }

  /** Returns the content of a regular file of at most `maxSize` bytes (default 64 MiB). */
  async readFile(path: string, options: { readonly encoding: 'utf8'; readonly maxSize?: Bytes }): Promise<string>;
  async readFile(path: string, options?: { readonly encoding?: undefined; readonly maxSize?: Bytes }): Promise<Buffer>;
  async readFile(
    path: string,
    options: { readonly encoding?: 'utf8' | undefined; readonly maxSize?: Bytes } = {},
  ): Promise<string | Buffer> {
    const given = parseObject(options, 'options', ['encoding', 'maxSize']);
    const limit = given.maxSize === undefined ? defaultMaxSize : parseBytes(given.maxSize, 'options.maxSize', 0);
    const { fd, stats } = await this.root().openFile(path, openFlags.readOnly);
    const bytes = await withFd(fd, () =>
      naming(path, () => {
        if (stats.size > limit) throw tooLarge(path, stats.size, limit);
        return readAll(fd, path, limit, stats.size);
      }),
    );
    return given.encoding === 'utf8' ? bytes.toString('utf8') : bytes;
  }

  /** Writes a regular file. It is created with `mode` (default 0o644) if it does not exist. */
  async writeFile(path: string, data: string | Uint8Array, options: { readonly mode?: number } = {}): Promise<void> {
    const { mode = 0o644 } = parseObject(options, 'options', ['mode']);
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    if (!isBytes(bytes)) throw new OptionError('data', 'expected a string or a Uint8Array', 'ERR_INVALID_ARG_TYPE');
    // Truncated only after openFile() has checked that it is a regular file.
    const { fd } = await this.root().openFile(path, openFlags.writeOnly | openFlags.create, parseInteger(mode, 'options.mode', 0, 0o777));
    await withFd(fd, () =>
      naming(path, async () => {
        await truncateFd(fd, 0);
        await writeAll(fd, bytes);
      }),
    );
  }

  /** Returns the entries of a directory, at most 100,000. */
  async readdir(path: string): Promise<readonly DirectoryEntry[]> {
    const fd = await this.root().open(path, openFlags.readOnly | openFlags.directory);
    return withFd(fd, async () => (await readEntries(fd, defaultMaxEntries, path)).map(describe));
  }

  /** Returns the stats of a path; for a symbolic link, those of the link itself. */
  stat(path: string): Promise<Stats> {
    return this.root().stat(path);
  }

  /**
   * Creates a directory. With `recursive`, missing parent directories are created too, and an existing directory is not
   * an error. `mode` defaults to 0o755.
   */
  async mkdir(path: string, options: { readonly recursive?: boolean; readonly mode?: number } = {}): Promise<void> {
    const { recursive = false, mode = 0o755 } = parseObject(options, 'options', ['recursive', 'mode']);
    const parts = parseTarget(path, 'path').slice(1).split('/');
    const chosen = parseInteger(mode, 'options.mode', 0, 0o1777);
    const root = this.root();
    const make = (target: string) => root.parent(target, (fd, name) => root.call('mkdirat', fd, name, chosen));
    if (!parseBoolean(recursive, 'options.recursive')) {
      await make(path);
      return;
    }
    for (let count = 1; count <= parts.length; count++) {
      const target = `/${parts.slice(0, count).join('/')}`;
      await make(target).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST' || !(await root.stat(target)).isDirectory()) throw error;
      });
    }
  }

  /**
   * Removes a file, a link or an empty directory. With `recursive`, everything below is removed too, at any depth. With
   * `force`, a missing path is not an error.
   */
  async rm(path: string, options: { readonly recursive?: boolean; readonly force?: boolean } = {}): Promise<void> {
    const { recursive = false, force = false } = parseObject(options, 'options', ['recursive', 'force']);
    const root = this.root();
    const isRecursive = parseBoolean(recursive, 'options.recursive');
    const isForced = parseBoolean(force, 'options.force');
    await root
      .parent(path, (fd, name) => removeTree(root, fd, name, isRecursive))
      .catch((error: NodeJS.ErrnoException) => {
        if (!isForced || error.code !== 'ENOENT') throw error;
      });
  }

  /**
   * Copies a file or directory of the host to a path inside, which must not exist. Links are copied as links. The
   * directory that holds `source` is opened once; it should not be one that programs can rename.
   */
  copyIn(source: string, target: string, options: CopyOptions = {}): Promise<void> {
    return copyIn(this.root(), source, target, parseLimits(options));
  }

  /**
   * Copies a file or directory to a path on the host, which must not exist. Only regular files and directories are
   * copied: a link, FIFO, socket or device is an error (ELOOP, EINVAL), so that nothing in the copy leads elsewhere.
   * Modes become 0644 or 0755, without set-id bits. The directory that is to hold `target` is opened once; it should
   * not be one that programs can rename.
   */
  copyOut(source: string, target: string, options: CopyOptions = {}): Promise<void> {
    return copyOut(this.root(), source, target, parseLimits(options));
  }

  /** Yields changes of a file or directory as they happen, inotify(7), until the signal is aborted. */
  async *watch(path: string, options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<FileChangeInfo<string>> {
    const fd = await this.root().openPath(path);
    const watcher = watch(`/proc/self/fd/${fd}`, options.signal ? { signal: options.signal } : {});
    // The path in /proc refers to the opened file, so exactly that one is watched.
    yield* withIterator(fd, watcher);
  }
}

async function* withIterator(fd: number, events: AsyncIterable<FileChangeInfo<string>>): AsyncGenerator<FileChangeInfo<string>> {
  try {
    yield* events;
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
  } finally {
    await withFd(fd, () => undefined);
  }
}

const typeNames: Readonly<Record<number, DirectoryEntry['type']>> = {
  [entryType.file]: 'file',
  [entryType.directory]: 'directory',
  [entryType.link]: 'symlink',
  [entryType.fifo]: 'fifo',
  [entryType.socket]: 'socket',
  [entryType.character]: 'character-device',
  [entryType.block]: 'block-device',
};

const describe = ({ name, type }: Entry): DirectoryEntry => ({ name, type: typeNames[type] ?? 'unknown' });

// The limit is checked for each read, because the file may grow.
async function readAll(fd: number, path: string, limit: number, expected: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  const size = Math.min(chunk, Math.max(expected, least) + 1);
  for (let total = 0; ; ) {
    const { bytesRead, buffer } = await readFd(fd, Buffer.allocUnsafe(size), 0, size, null);
    if (bytesRead === 0) return Buffer.concat(parts);
    total += bytesRead;
    if (total > limit) throw tooLarge(path, total, limit);
    parts.push(buffer.subarray(0, bytesRead));
  }
}

async function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await writeFd(fd, bytes, at, bytes.length - at, null)).bytesWritten;
}
