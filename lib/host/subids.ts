import { readFileSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';

/** A range of subordinate ids, subuid(5). */
export interface Subids {
  readonly start: number;
  readonly count: number;
}

/** Parses the ranges of a user in the text of /etc/subuid or /etc/subgid. Other lines are ignored. */
export function parseSubids(text: string, user: string | undefined, uid: number): readonly Subids[] {
  return text.split('\n').flatMap((line) => {
    const [, owner, start, count] = /^([^:\s#]+):(\d+):(\d+)\s*$/.exec(line) ?? [];
    if (owner === undefined || (owner !== user && owner !== `${uid}`)) return [];
    const found = { start: Number(start), count: Number(count) };
    return found.start > 0 && found.count > 0 && found.start + found.count < 2 ** 32 ? [found] : [];
  });
}

/** Reads the ranges of this process's user from one of the two files. Empty if the file cannot be read. */
export function readSubids(file: '/etc/subuid' | '/etc/subgid', uid: number): readonly Subids[] {
  try {
    return parseSubids(readFileSync(file, 'utf8'), userName(), uid);
  } catch {
    return [];
  }
}

function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}

const directories = ['/usr/bin', '/usr/local/bin', '/bin'];
const writableByOthers = 0o022;

/**
 * Finds newuidmap(1) or newgidmap(1) in standard directories, never in PATH. It must belong to root and be writable by
 * nobody else.
 */
export function findIdMapHelper(name: 'newuidmap' | 'newgidmap'): string | undefined {
  return directories
    .map((directory) => `${directory}/${name}`)
    .find((path) => {
      const stats = statSync(path, { throwIfNoEntry: false });
      return stats?.isFile() && stats.uid === 0 && (stats.mode & writableByOthers) === 0;
    });
}
