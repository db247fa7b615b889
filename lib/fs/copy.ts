import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { basename, dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { errnos } from '../base/errnos';
import { SysError } from '../base/errors';
import { parseHostPath, parseTarget } from '../base/parse';
import { realHostPath } from '../host/host-path';
import { openFlags } from '../native/open-flags';
import { callLater } from '../sys/call';
import { RESOLVE } from '../sys/constants';
import { close } from '../sys/file';
import { Budget, type CopyLimits } from './budget';
import { removeTree } from './remove';
import { checkName, Root, readEntries, readLink, withFd } from './root';

const maxEntries = 1_000_000;
const atCwd = -100;
const noReplace = 1; // RENAME_NOREPLACE

/** How entries are copied. */
interface Manner {
  /** Symbolic links are copied as links; otherwise they are an error. */
  readonly links: boolean;
  readonly mode: (mode: number) => number;
}

// To the host: no symbolic links, which could lead elsewhere, and no set-id bits, which would run a file with another
// user's rights.
const outwards: Manner = { links: false, mode: (mode) => ((mode & 0o111) === 0 ? 0o644 : 0o755) };
const inwards: Manner = { links: true, mode: (mode) => mode & 0o777 };

/** Copies from the host into a sandbox. If it fails, the incomplete copy is removed. */
export async function copyIn(root: Root, source: string, target: string, limits: CopyLimits): Promise<void> {
  const from = parseHostPath(source, 'source');
  const to = parseTarget(target, 'target');
  await onHost(from, async (host, name) => {
    await refuseExisting(root, to);
    await copyOrRemove({ from: host, to: root, manner: inwards }, name, to, limits);
  });
}

/** Copies from a sandbox to the host. The copy has a temporary name in the same directory until it is complete. */
export async function copyOut(root: Root, source: string, target: string, limits: CopyLimits): Promise<void> {
  const from = parseTarget(source, 'source');
  const to = parseHostPath(target, 'target');
  await onHost(to, async (host, name) => {
    await refuseExisting(host, name);
    const draft = `/.nsjs-${randomBytes(12).toString('hex')}`;
    await copyOrRemove({ from: root, to: host, manner: outwards }, from, draft, limits);
    try {
      await callLater('renameat2', host.fd, draft.slice(1), host.fd, name.slice(1), noReplace);
    } catch (error) {
      await remove(host, draft);
      throw error;
    }
  });
}

/**
 * Opens the host directory that holds a path, once. Everything below it is then reached only through this descriptor.
 */
async function onHost(path: string, use: (host: Root, name: string) => Promise<void>): Promise<void> {
  const directory = realHostPath(dirname(path), 'path');
  const how = BigUint64Array.from([openFlags.path | openFlags.directory | openFlags.cloexec, 0, RESOLVE.NO_SYMLINKS].map(BigInt));
  await withFd(await callLater('openat2', atCwd, directory, how, how.byteLength), (fd) =>
    use(new Root(fd, undefined), `/${basename(path)}`),
  );
}

async function refuseExisting(root: Root, path: string): Promise<void> {
  const found = await root.stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found) throw new SysError({ errno: errnos.EEXIST, syscall: 'copy', path, hint: 'the target must not exist' });
}

/** One copy operation. */
interface Job {
  readonly from: Root;
  readonly to: Root;
  readonly manner: Manner;
  readonly budget: Budget;
  /** Whether something was created at the target. */
  made: boolean;
}

async function copyOrRemove(
  { from, to, manner }: Pick<Job, 'from' | 'to' | 'manner'>,
  path: string,
  target: string,
  limits: CopyLimits,
): Promise<void> {
  const job = { from, to, manner, budget: new Budget(limits), made: false };
  try {
    await copy(job, path, target);
  } catch (error) {
    // The target is removed only if this call created it.
    if (job.made) await remove(to, target);
    throw error;
  }
}

const remove = (root: Root, path: string): Promise<void> =>
  root.parent(path, (fd, name) => removeTree(root, fd, name, true)).catch(() => {});

async function copy(job: Job, path: string, target: string): Promise<void> {
  const { from, to, manner, budget } = job;
  budget.entry(path);
  const stats = await from.stat(path);
  if (stats.isDirectory()) {
    await to.parent(target, (fd, name) => to.call('mkdirat', fd, name, manner.mode(stats.mode) | 0o700));
    job.made = true;
    const entries = await withFd(await from.open(path, openFlags.readOnly | openFlags.directory), (fd) =>
      readEntries(fd, maxEntries, path),
    );
    for (const entry of entries) {
      checkName(entry, path);
      await copy(job, `${path === '/' ? '' : path}/${entry.name}`, `${target}/${entry.name}`);
    }
  } else if (stats.isSymbolicLink()) {
    if (!manner.links)
      throw new SysError({
        errno: errnos.ELOOP,
        syscall: 'copy',
        path,
        hint: 'symbolic links are not copied to the host, because they could lead anywhere',
      });
    const link = await readLink(from, path);
    await to.parent(target, (fd, name) => to.call('symlinkat', link, fd, name));
    job.made = true;
  } else if (stats.isFile()) await copyFile(job, path, target);
  else
    throw new SysError({
      errno: errnos.EINVAL,
      syscall: 'copy',
      path,
      hint: 'only regular files, directories and symbolic links can be copied',
    });
}

async function copyFile(job: Job, path: string, target: string): Promise<void> {
  const { from, to, manner, budget } = job;
  const source = await from.openFile(path, openFlags.readOnly);
  let made: number;
  try {
    ({ fd: made } = await to.openFile(
      target,
      openFlags.writeOnly | openFlags.create | openFlags.exclusive,
      manner.mode(source.stats.mode),
    ));
  } catch (error) {
    close(source.fd);
    throw error;
  }
  job.made = true;
  // The data goes to the file that was created above, even if its name now refers to another one.
  await pipeline(createReadStream('', { fd: source.fd }), budget.counter(path), createWriteStream('', { fd: made }));
}
