import { openFlags } from '../native/open-flags';
import { entryType, type Root, readEntries, withFd } from './root';

const removeDirectory = 0x200; // AT_REMOVEDIR
const maxDepth = 64;
const maxEntries = 1_000_000;
const rounds = 1000;

let count = 0;

/**
 * Removes an entry of a directory; with `recursive`, everything below it too. It descends by file descriptors, so that
 * no rename can redirect it. Directories below the maximum depth, which limits the descriptors held open, are moved up
 * first.
 */
export async function removeTree(root: Root, parent: number, name: string, recursive: boolean): Promise<void> {
  const failed = await attempt(root.call('unlinkat', parent, name, 0));
  if (failed === undefined) return;
  if (failed.code !== 'EISDIR') throw failed;
  if (recursive) await empty(root, parent, name);
  await root.call('unlinkat', parent, name, removeDirectory);
}

async function attempt(done: Promise<unknown>): Promise<NodeJS.ErrnoException | undefined> {
  try {
    await done;
    return undefined;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

const openDirectory = (root: Root, parent: number, name: string | Uint8Array): Promise<number> =>
  root.call('openat', parent, name, openFlags.readOnly | openFlags.directory | openFlags.nofollow | openFlags.cloexec);

async function empty(root: Root, parent: number, name: string): Promise<void> {
  await withFd(await openDirectory(root, parent, name), async (top) => {
    // Directories that were moved up are found in the next round. The number of rounds is limited, because a program
    // may keep adding entries.
    for (let round = 0; round < rounds; round++) if (!(await emptyOnce(root, top, top, 0))) return;
  });
}

/** Empties a directory. Resolves to true if another round is needed. */
async function emptyOnce(root: Root, top: number, fd: number, depth: number): Promise<boolean> {
  let again = false;
  for (const { raw, type } of await readEntries(fd, maxEntries, '')) {
    if (type !== entryType.directory) {
      await root.call('unlinkat', fd, raw, 0);
    } else if (depth === maxDepth) {
      await root.call('renameat2', fd, raw, top, `.nsjs-rm-${count++}`, 0);
      again = true;
    } else {
      again = (await withFd(await openDirectory(root, fd, raw), (inner) => emptyOnce(root, top, inner, depth + 1))) || again;
      await root.call('unlinkat', fd, raw, removeDirectory);
    }
  }
  return again;
}
