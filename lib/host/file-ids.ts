import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { native } from '../native/addon';

/** NUL-terminated paths of the host, and the files that they resolve to. */
export interface FileIds {
  readonly paths: Uint8Array;
  /**
   * Device and inode of each, zeros for a missing file; with `timed` also the time of the last change (st_ctim) in ns.
   */
  readonly ids: BigUint64Array;
  readonly timed: 0 | 1;
}

/**
 * Resolves paths to files. With `timed`, a file that was changed in place and a directory whose entries changed count
 * as different files.
 */
export function identify(paths: readonly string[], timed: 0 | 1 = 0): FileIds {
  const found = {
    paths: Buffer.from(paths.map((path) => `${path}\0`).join('')),
    ids: new BigUint64Array((2 + timed) * paths.length),
    timed,
  };
  native().fileIds(found.paths, found.ids, timed);
  return found;
}

/** Whether the paths still resolve to the same files. */
export const areSameFiles = ({ paths, ids, timed }: FileIds): boolean => native().sameFiles(paths, ids, timed) === 1;

const settledNs = 1_000_000_000n;

/**
 * Whether all changes are older than a second. A newer time does not prove that nothing has changed since, because two
 * changes within one tick of the file system's clock have the same time.
 */
export function isSettled({ ids }: FileIds): boolean {
  const latest = BigInt(Date.now()) * 1_000_000n - settledNs;
  return ids.every((time, index) => index % 3 !== 2 || time < latest);
}

/**
 * Files of the host that are checked often. If the directories that contain them have not changed, the paths still
 * resolve to the same files.
 */
export class KnownFiles {
  private readonly files: FileIds;
  private seen: FileIds | undefined;

  constructor(private readonly paths: readonly string[]) {
    const seen = identify(holdersOf(paths), 1);
    this.files = identify(paths);
    this.seen = isSettled(seen) ? seen : undefined;
  }

  /** Whether the paths still resolve to the same files. Mounts over them are not noticed. */
  areSame(): boolean {
    if (this.seen && areSameFiles(this.seen)) return true;
    const seen = identify(holdersOf(this.paths), 1);
    if (!areSameFiles(this.files)) return false;
    this.seen = isSettled(seen) ? seen : undefined;
    return true;
  }
}

// The parent directory of each path, and the target of each path that is a link. Computed each time, because a file may
// have been moved and replaced by a link to it.
const holdersOf = (paths: readonly string[]): readonly string[] => [...new Set([...paths.map(dirname), ...paths.filter(isLink)])];

const isLink = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
