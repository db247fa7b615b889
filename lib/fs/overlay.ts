import { createReadStream, createWriteStream, type Stats } from 'node:fs';
import { chmod, lchown, link, lstat, mkdir, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { NsError, SysError } from '../base/errors';
import { parseHostPath } from '../base/parse';
import { realHostPath } from '../host/host-path';
import { openFlags } from '../native/open-flags';
import { callLater } from '../sys/call';
import { close } from '../sys/file';
import { type TarEntry, whiteout } from '../tar/format';
import { archiveEnd, encodeHeader, padding } from '../tar/writer';
import { Budget, type CopyOptions, parseLimits } from './budget';
import { checkName, type Root, readEntries, readLink, withFd } from './root';

/** One change that a sandbox has made relative to the lower directories of an overlay. */
export interface Change {
  /** Path below the overlay's mount point, with a leading slash. */
  readonly path: string;
  /** `replaced`: a directory that completely hides the one below it. */
  readonly kind: 'added' | 'modified' | 'deleted' | 'replaced';
  /** Type of the new entry; undefined for a deleted one. */
  readonly type?: 'file' | 'directory' | 'symlink' | 'other';
  /** Size of a file in bytes. */
  readonly size?: number;
}

/** The parts of an overlay that are needed to read its changes. */
export interface OverlayParts {
  /** The directory that receives the changes; they are in `upper` below it. */
  root(): Root;
  /** The lower directories, on the host. */
  readonly lower: readonly string[];
  /** The directory of the host that holds the changes; undefined if they are in memory. */
  readonly upper: string | undefined;
  /** Maps ids of the host to ids inside the sandbox. */
  idInside(uid: number, gid: number): { readonly uid: number; readonly gid: number };
  /** Whether owners are kept on the host as well. */
  readonly keepsOwners: boolean;
  close(): Promise<void>;
}

interface Found {
  readonly path: string;
  readonly stats: Stats;
  readonly isOpaque: boolean;
}

const opaqueName = 'user.overlay.opaque';
const maxEntries = 1_000_000;
const upper = '/upper';
const setIdBits = 0o6000;

/**
 * The changes of an overlay of a running sandbox. They are read in their current state while programs may go on
 * changing them; pause the sandbox to get a consistent snapshot. Errors are those of {@link SandboxFs}.
 */
export class OverlayChanges {
  /** @internal */
  constructor(private readonly parts: OverlayParts) {}

  /** Returns the added, modified and deleted entries, directories before their contents. */
  async diff(): Promise<readonly Change[]> {
    const found: Change[] = [];
    for await (const { path, stats, isOpaque } of this.walk('')) {
      if (isWhiteout(stats)) found.push({ path, kind: 'deleted' });
      else {
        const below = await this.isBelow(path);
        const kind = below ? (isOpaque ? 'replaced' : 'modified') : 'added';
        // A directory that exists in `upper` only because something in it has changed is not a change itself.
        if (kind === 'modified' && stats.isDirectory() && (await this.isSameDirectory(path, stats))) continue;
        found.push({ path, kind, type: typeOf(stats), ...(stats.isFile() ? { size: stats.size } : {}) });
      }
    }
    return found;
  }

  /**
   * Returns the changes as a layer of the OCI image spec (tar, uncompressed; whiteouts as `.wh.` files). If a limit is
   * exceeded, the stream fails with EFBIG.
   */
  exportTar(options: CopyOptions = {}): Readable {
    return Readable.from(this.tar(new Budget(parseLimits(options))), { objectMode: false });
  }

  /**
   * Saves the changes as a directory of the host, which must not exist and can be the topmost `lower` of another
   * overlay. Set-id bits are removed, FIFOs and sockets are left out. Owners are kept if root runs the sandbox with
   * several ids.
   */
  async commit(directory: string, options: CopyOptions = {}): Promise<void> {
    const target = parseHostPath(directory, 'directory');
    const budget = new Budget(parseLimits(options));
    const links = new Map<number, string>();
    realHostPath(dirname(target), 'directory');
    await mkdir(target, { mode: 0o755 });
    try {
      for await (const one of this.walk('')) {
        budget.entry(one.path);
        const first = one.stats.isFile() && one.stats.nlink > 1 ? links.get(one.stats.ino) : undefined;
        if (first !== undefined) {
          await link(first, join(target, one.path));
          continue;
        }
        await this.keep(one, join(target, one.path), budget);
        links.set(one.stats.ino, join(target, one.path));
        if (this.parts.keepsOwners && !one.stats.isFIFO() && !one.stats.isSocket()) await this.giveAway(one.stats, join(target, one.path));
      }
    } catch (error) {
      await rm(target, { recursive: true, force: true });
      throw error;
    }
  }

  /** Closes the sandbox and removes its changes. */
  async discard(): Promise<void> {
    await this.parts.close();
    if (this.parts.upper === undefined) return;
    // The directory that the kernel creates in `work` has no permissions at all.
    await chmod(join(this.parts.upper, 'work/work'), 0o700).catch(() => {});
    for (const name of ['upper', 'work']) await rm(join(this.parts.upper, name), { recursive: true, force: true });
  }

  private async *walk(path: string): AsyncGenerator<Found> {
    const root = this.parts.root();
    const fd = await root.open(`${upper}${path}`, openFlags.readOnly | openFlags.directory);
    const entries = await withFd(fd, () => readEntries(fd, maxEntries, path));
    for (const entry of [...entries].sort((one, other) => (one.name < other.name ? -1 : 1))) {
      checkName(entry, path);
      const inner = `${path}/${entry.name}`;
      if (entry.name.startsWith(whiteout.prefix))
        throw new NsError(
          'ERR_NSJS_ARCHIVE',
          `${inner}: names that begin with ${whiteout.prefix} are reserved for whiteouts in a layer; rename the entry first`,
        );
      const stats = await root.stat(`${upper}${inner}`);
      yield { path: inner, stats, isOpaque: stats.isDirectory() && (await this.isOpaque(inner)) };
      if (stats.isDirectory()) yield* this.walk(inner);
    }
  }

  private async isOpaque(path: string): Promise<boolean> {
    const value = Buffer.alloc(1);
    const fd = await this.parts.root().open(`${upper}${path}`, openFlags.readOnly | openFlags.directory);
    return withFd(fd, async () => {
      try {
        return (await callLater('fgetxattr', fd, opaqueName, value, value.length)) === 1 && value.toString('latin1') === 'y';
      } catch (error) {
        if (error instanceof SysError && ['ENODATA', 'EOPNOTSUPP', 'ERANGE'].includes(error.code)) return false;
        throw error;
      }
    });
  }

  private async isBelow(path: string): Promise<boolean> {
    for (const directory of this.parts.lower) if (await lstat(join(directory, path)).catch(() => undefined)) return true;
    return false;
  }

  private async isSameDirectory(path: string, stats: Stats): Promise<boolean> {
    for (const directory of this.parts.lower) {
      const below = await lstat(join(directory, path)).catch(() => undefined);
      if (below) return below.isDirectory() && (below.mode & 0o7777) === (stats.mode & 0o7777);
    }
    return false;
  }

  private async keep({ path, stats, isOpaque }: Found, target: string, budget: Budget): Promise<void> {
    const mode = stats.mode & 0o7777 & ~setIdBits;
    if (isWhiteout(stats)) await callLater('mknodat', -100, target, 0o020000, 0);
    else if (stats.isDirectory()) {
      await mkdir(target);
      await chmod(target, mode | 0o700);
      if (isOpaque) await callLater('setxattr', target, opaqueName, Buffer.from('y'), 1, 0);
    } else if (stats.isSymbolicLink()) await symlink(await readLink(this.parts.root(), `${upper}${path}`), target);
    else if (stats.isFile()) {
      const { fd } = await this.parts.root().openFile(`${upper}${path}`, openFlags.readOnly);
      await pipeline(createReadStream('', { fd }), budget.counter(path), createWriteStream(target, { flags: 'wx', mode: 0o600 }));
      await chmod(target, mode);
    } else if (!stats.isFIFO() && !stats.isSocket()) throw unsupported(path);
  }

  private async giveAway(stats: Stats, target: string): Promise<void> {
    const { uid, gid } = this.parts.idInside(stats.uid, stats.gid);
    await lchown(target, uid, gid);
  }

  private async *tar(budget: Budget): AsyncGenerator<Buffer> {
    const links = new Map<number, string>();
    for await (const { path, stats, isOpaque } of this.walk('')) {
      budget.entry(path);
      const name = path.slice(1);
      const at = name.lastIndexOf('/') + 1;
      if (isWhiteout(stats)) {
        yield encodeHeader(this.entry(`${name.slice(0, at)}${whiteout.prefix}${name.slice(at)}`, 'file', stats, { size: 0, mode: 0o644 }));
        continue;
      }
      const first = stats.nlink > 1 && stats.isFile() ? links.get(stats.ino) : undefined;
      if (first !== undefined) yield encodeHeader(this.entry(name, 'link', stats, { size: 0, linkPath: first }));
      else if (stats.isFile()) yield* this.tarFile(path, stats, budget);
      else if (stats.isSymbolicLink())
        yield encodeHeader(this.entry(name, 'symlink', stats, { size: 0, linkPath: await readLink(this.parts.root(), `${upper}${path}`) }));
      else if (stats.isDirectory()) {
        yield encodeHeader(this.entry(name, 'directory', stats, { size: 0 }));
        if (isOpaque) yield encodeHeader(this.entry(`${name}/${whiteout.opaque}`, 'file', stats, { size: 0, mode: 0o644 }));
      } else if (stats.isFIFO()) yield encodeHeader(this.entry(name, 'fifo', stats, { size: 0 }));
      links.set(stats.ino, name);
    }
    yield archiveEnd();
  }

  // Emits exactly as many bytes as the header states, even if the file changes while it is read.
  private async *tarFile(path: string, stats: Stats, budget: Budget): AsyncGenerator<Buffer> {
    const { fd, stats: now } = await this.parts.root().openFile(`${upper}${path}`, openFlags.readOnly);
    try {
      budget.bytes(path, now.size);
      yield encodeHeader(this.entry(path.slice(1), 'file', stats, { size: now.size }));
      let left = now.size;
      if (left > 0) {
        for await (const part of createReadStream('', { fd, autoClose: false, start: 0, end: left - 1 }) as AsyncIterable<Buffer>) {
          left -= part.length;
          yield part;
        }
      }
      for (; left > 0; left -= Math.min(left, zeros.length)) yield zeros.subarray(0, left);
      yield padding(now.size);
    } finally {
      close(fd);
    }
  }

  private entry(path: string, type: TarEntry['type'], stats: Stats, more: Partial<TarEntry>): TarEntry {
    return { path, type, mode: stats.mode & 0o7777, ...this.parts.idInside(stats.uid, stats.gid), size: 0, mtime: stats.mtimeMs, ...more };
  }
}

const zeros = Buffer.alloc(65_536);
const isWhiteout = (stats: Stats): boolean => stats.isCharacterDevice() && stats.rdev === 0;

const typeOf = (stats: Stats): NonNullable<Change['type']> =>
  stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : stats.isSymbolicLink() ? 'symlink' : 'other';

const unsupported = (path: string): NsError =>
  new NsError('ERR_NSJS_UNSUPPORTED', `${path} is a device, which nsjs does not store in a layer`);
