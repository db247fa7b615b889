import { createReadStream, createWriteStream, type Stats } from 'node:fs';
import { lstat, mkdir, readdir, readlink, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SysError } from '../errors';
import { parseHostPath, parseTarget } from '../parse';
import { removeTree } from './remove';
import { directoryFlag, entryType, openFlags, type Root, readEntries, tooLarge, withFd } from './root';
import type { CopyLimits } from './sandbox-fs';

/** What is left of the limits while a copy goes on. */
class Budget {
  private size = 0;
  private entries = 0;

  constructor(private readonly limits: CopyLimits) {}

  entry(path: string): void {
    if (++this.entries > this.limits.maxEntries)
      throw new SysError({ errno: 27, syscall: 'copy', path, hint: `more than maxEntries, ${this.limits.maxEntries}` });
  }

  bytes(path: string, count: number): void {
    this.size += count;
    if (this.size > this.limits.maxSize) throw tooLarge(path, this.size, this.limits.maxSize);
  }

  /** Counts what really passes: a file may grow, and a sparse one is as long as it says. */
  counter(path: string): Transform {
    return new Transform({
      transform: (part: Buffer, _encoding, done: TransformCallback) => {
        try {
          this.bytes(path, part.length);
          done(null, part);
        } catch (error) {
          done(error as Error);
        }
      },
    });
  }
}

/** Copies from the host into a sandbox. What was copied is removed again if it fails. */
export async function copyIn(root: Root, source: string, target: string, limits: CopyLimits): Promise<void> {
  const from = parseHostPath(source, 'source');
  const to = parseTarget(target, 'target');
  const budget = new Budget(limits);
  try {
    await copyInto(root, from, to, budget);
  } catch (error) {
    const own = error as NodeJS.ErrnoException & { readonly path?: string };
    if (!(own.code === 'EEXIST' && own.path === to)) await root.parent(to, (fd, name) => removeTree(root, fd, name, true)).catch(() => {});
    throw error;
  }
}

async function copyInto(root: Root, from: string, to: string, budget: Budget): Promise<void> {
  budget.entry(to);
  const stats = await lstat(from);
  if (stats.isDirectory()) {
    await make(root, to, (fd, name) => root.call('mkdirat', fd, name, stats.mode & 0o777));
    for (const name of await readdir(from)) await copyInto(root, join(from, name), `${to}/${name}`, budget);
  } else if (stats.isSymbolicLink()) {
    const link = await readlink(from);
    await make(root, to, (fd, name) => root.call('symlinkat', link, fd, name));
  } else if (stats.isFile()) await writeInto(root, from, to, stats, budget);
  else throw new SysError({ errno: 22, syscall: 'copy', path: from, hint: 'only files, folders and links are copied' });
}

async function make(root: Root, path: string, act: (fd: number, name: string) => Promise<unknown>): Promise<void> {
  try {
    await root.parent(path, act);
  } catch (error) {
    const { errno = -5, syscall = 'openat2', path: named } = error as NodeJS.ErrnoException;
    throw new SysError({ errno: -errno, syscall, path: named ?? path });
  }
}

async function writeInto(root: Root, from: string, to: string, { mode }: Stats, budget: Budget): Promise<void> {
  const { fd } = await root.openFile(to, openFlags.writeOnly | openFlags.create | openFlags.exclusive, mode & 0o777);
  await pipeline(createReadStream(from), budget.counter(from), createWriteStream('', { fd, autoClose: true }));
}

/** Copies from a sandbox to the host. */
export async function copyOut(root: Root, source: string, target: string, limits: CopyLimits): Promise<void> {
  const from = parseTarget(source, 'source');
  const to = parseHostPath(target, 'target');
  if (await lstat(to).catch(() => undefined))
    throw new SysError({ errno: 17, syscall: 'copy', path: to, hint: 'the target must not exist' });
  // Beside its place first, and there only when it is whole.
  const budget = new Budget(limits);
  const draft = join(dirname(to), `.${basename(to)}.nsjs-${process.pid}-${Date.now()}`);
  try {
    await copyFrom(root, from, draft, budget);
    await rename(draft, to);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

async function copyFrom(root: Root, from: string, to: string, budget: Budget): Promise<void> {
  budget.entry(from);
  if (!(await root.stat(from)).isDirectory()) {
    await copyFile(root, from, to, budget);
    return;
  }
  await mkdir(to, { mode: 0o755 });
  const entries = await withFd(await root.open(from, openFlags.readOnly | directoryFlag), (fd) => readEntries(fd, 1_000_000, from));
  for (const { name, type } of entries) {
    const inner = `${from === '/' ? '' : from}/${name}`;
    if (type === entryType.link)
      throw new SysError({ errno: 40, syscall: 'copy', path: inner, hint: 'it is a symbolic link, which could lead anywhere on the host' });
    await copyFrom(root, inner, join(to, name), budget);
  }
}

async function copyFile(root: Root, from: string, to: string, budget: Budget): Promise<void> {
  const { fd, stats } = await root.openFile(from, openFlags.readOnly);
  const output = createWriteStream(to, { flags: 'wx', mode: stats.mode & 0o111 ? 0o755 : 0o644 });
  await pipeline(createReadStream('', { fd, autoClose: true }), budget.counter(from), output);
}
