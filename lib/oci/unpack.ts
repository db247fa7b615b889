// Runs inside a sandbox that can write only to an empty directory. Attacks by the archive are refused here; the sandbox
// contains those that are not.
import { createHash } from 'node:crypto';
import { chmodSync, lchownSync, linkSync, lstatSync, lutimesSync, mkdirSync, readdirSync, rmSync, type Stats, symlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { NsError } from '../base/errors';
import { call } from '../sys/call';
import { type TarEntry, whiteout } from '../tar/format';
import { readTar } from '../tar/reader';
import { resolveInside } from './resolve';

/** The request of the parent process, passed as the only argument. */
export interface UnpackRequest {
  readonly root: string;
  readonly gzip: boolean;
  readonly maxSize: number;
  readonly maxEntries: number;
  /** Whether the ids of the archive exist in this user namespace. */
  readonly owners: boolean;
}

/** The result of an unpacked layer. */
export interface UnpackAnswer {
  readonly entries: number;
  readonly bytes: number;
  /** Number of entries that were left out: devices, FIFOs and other types that a sandbox has no use for. */
  readonly skipped: number;
  /** SHA-256 of the uncompressed archive. */
  readonly diffId: string;
}

const refuse = (path: string, why: string): NsError => new NsError('ERR_NSJS_ARCHIVE', `${path}: ${why}`);
const maxPath = 4096;
const rangeSize = 65_536;

/** Unpacks one layer into an empty directory. */
export class Unpacker {
  private entries = 0;
  private bytes = 0;
  private skipped = 0;
  /** Paths that this layer has created: an opaque whiteout does not remove them. */
  private readonly own = new Set<string>();

  constructor(private readonly request: UnpackRequest) {}

  async run(input: AsyncIterable<Uint8Array>): Promise<UnpackAnswer> {
    const hash = createHash('sha256');
    const counted = this.count(input, hash);
    for await (const { entry, content } of readTar(counted)) {
      if (++this.entries > this.request.maxEntries) throw refuse(entry.path, `more than ${this.request.maxEntries} entries`);
      await this.apply(entry, content);
    }
    // Bytes after the end of the archive are part of its digest.
    for await (const _ of counted);
    return { entries: this.entries, bytes: this.bytes, skipped: this.skipped, diffId: hash.digest('hex') };
  }

  private async *count(input: AsyncIterable<Uint8Array>, hash: ReturnType<typeof createHash>): AsyncGenerator<Uint8Array> {
    const { maxSize } = this.request;
    for await (const part of input) {
      this.bytes += part.byteLength;
      if (this.bytes > maxSize) throw refuse('the archive', `more than ${maxSize} bytes`);
      hash.update(part);
      yield part;
    }
  }

  private async apply(entry: TarEntry, content: AsyncIterable<Buffer>): Promise<void> {
    const path = checkPath(entry.path);
    if (path === '') return;
    const parent = resolveInside(this.request.root, dirname(path) === '.' ? '' : dirname(path), true);
    const name = basename(path);
    if (name === whiteout.opaque) {
      this.removeBelow(parent);
      return;
    }
    if (name.startsWith(whiteout.prefix)) {
      const hidden = name.slice(whiteout.prefix.length);
      if (hidden === '' || hidden === '.' || hidden === '..') throw refuse(entry.path, 'is not a valid whiteout');
      rmSync(`${parent}/${hidden}`, { recursive: true, force: true });
      return;
    }
    const target = `${parent}/${name}`;
    if (await this.make(entry, target, content)) this.finish(entry, target);
    this.own.add(target);
  }

  private async make(entry: TarEntry, target: string, content: AsyncIterable<Buffer>): Promise<boolean> {
    const there = lstatSync(target, { throwIfNoEntry: false });
    if (entry.type === 'directory') {
      if (there?.isDirectory()) return true;
      clear(target, there);
      mkdirSync(target);
      return true;
    }
    if (!['file', 'symlink', 'link'].includes(entry.type)) {
      this.skipped++;
      return false;
    }
    clear(target, there);
    if (entry.type === 'symlink') symlinkSync(entry.linkPath ?? '', target);
    else if (entry.type === 'link') this.link(entry, target);
    else await writeNew(target, content);
    return entry.type !== 'link';
  }

  private link({ path, linkPath = '' }: TarEntry, target: string): void {
    const checked = checkPath(linkPath);
    const from = `${resolveInside(this.request.root, dirname(checked) === '.' ? '' : dirname(checked), false)}/${basename(checked)}`;
    const stats = lstatSync(from, { throwIfNoEntry: false });
    if (!stats?.isFile() && !stats?.isSymbolicLink()) throw refuse(path, `links to ${linkPath}, which is not a file`);
    linkSync(from, target);
  }

  private finish({ type, mode, uid, gid, mtime, xattrs = {} }: TarEntry, target: string): void {
    if (this.request.owners) {
      if (Math.max(uid, gid) >= rangeSize) throw refuse(target, `belongs to ${uid}:${gid}, the largest supported id is ${rangeSize - 1}`);
      lchownSync(target, uid, gid);
    }
    if (type === 'symlink') return;
    // Set-id bits have no effect in a sandbox, but would have one on the host.
    chmodSync(target, mode & 0o1777);
    lutimesSync(target, mtime / 1000, mtime / 1000);
    for (const [name, value] of Object.entries(xattrs))
      if (name.startsWith('user.') && !name.startsWith('user.overlay.')) call('setxattr', target, name, value, value.length, 0);
  }

  private removeBelow(directory: string): void {
    for (const name of readdirSync(directory)) {
      const path = `${directory}/${name}`;
      if (!this.own.has(path)) rmSync(path, { recursive: true, force: true });
      else if (lstatSync(path).isDirectory()) this.removeBelow(path);
    }
  }
}

function clear(target: string, there: Stats | undefined): void {
  if (there) rmSync(target, { recursive: true, force: true });
}

async function writeNew(target: string, content: AsyncIterable<Buffer>): Promise<void> {
  const file = await open(target, 'wx', 0o600);
  try {
    for await (const part of content) await file.writeFile(part);
  } finally {
    await file.close();
  }
}

/** Normalizes a path of an archive: removes `.`; throws for a path that leads outside. */
export function checkPath(path: string): string {
  if (path.startsWith('/')) throw refuse(path, 'is absolute');
  if (path.includes('\0') || Buffer.byteLength(path) > maxPath) throw refuse(path.slice(0, 100), 'is not a valid path');
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw refuse(path, "contains '..'");
  return parts.join('/');
}
