import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { native } from '../native/addon';

/** Paths of the host, each with a NUL behind it, and which files they lead to. */
export interface FileIds {
  readonly paths: Uint8Array;
  /** Device and inode of each, zeros for what is not there; where times count, when it was changed last in ns. */
  readonly ids: BigUint64Array;
  readonly timed: 0 | 1;
}

/** Which files paths lead to now. `timed`: what is changed in place, or gets another entry, is no longer the same. */
export function identify(paths: readonly string[], timed: 0 | 1 = 0): FileIds {
  const found = {
    paths: Buffer.from(paths.map((path) => `${path}\0`).join('')),
    ids: new BigUint64Array((2 + timed) * paths.length),
    timed,
  };
  native().fileIds(found.paths, found.ids, timed);
  return found;
}

/** Whether the paths lead to the same files still. */
export const areSameFiles = ({ paths, ids, timed }: FileIds): boolean => native().sameFiles(paths, ids, timed) === 1;

const settledNs = 1_000_000_000n;

/** Whether nothing of it was changed a moment ago: what is changed twice within a tick of the file system's clock has the same time. */
export function isSettled({ ids }: FileIds): boolean {
  const latest = BigInt(Date.now()) * 1_000_000n - settledNs;
  return ids.every((time, index) => index % 3 !== 2 || time < latest);
}

/** Files of the host that are asked for again and again. While the directories that hold them are as they were, so are they. */
export class KnownFiles {
  private readonly files: FileIds;
  private seen: FileIds | undefined;

  constructor(private readonly paths: readonly string[]) {
    const seen = identify(holdersOf(paths), 1);
    this.files = identify(paths);
    this.seen = isSettled(seen) ? seen : undefined;
  }

  /** Whether the paths lead to the same files still; what is mounted over them is not looked for. */
  areSame(): boolean {
    if (this.seen && areSameFiles(this.seen)) return true;
    const seen = identify(holdersOf(this.paths), 1);
    if (!areSameFiles(this.files)) return false;
    this.seen = isSettled(seen) ? seen : undefined;
    return true;
  }
}

// What holds a name, and what a link leads to: a file may have become a link to itself meanwhile.
const holdersOf = (paths: readonly string[]): readonly string[] => [...new Set([...paths.map(dirname), ...paths.filter(isLink)])];

const isLink = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
