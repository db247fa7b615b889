import { readdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { debuglog } from 'node:util';
import { startedAt } from '../proc/stat';

const debug = debuglog('nsjs');

/**
 * Names of cgroups consist of the pid of this process, its start time (pids are reused) and a counter. They all have
 * the same length, so that the name in an encoded plan can be overwritten. A cgroup whose name belongs to a dead
 * process has no owner.
 */
const countDigits = 9;
const counts = 10 ** countDigits;
// Threads of one process, and copies of this module in it, each have their own counter. A random start keeps their
// names apart.
let count = Math.floor(Math.random() * counts);
let prefix: string | undefined;

/** Returns a new name for the cgroups of one sandbox. */
export function nextGroupName(): string {
  prefix ??= `nsjs-${process.pid}-${startedAt('self')}`;
  return `${prefix}-${`${count++ % counts}`.padStart(countDigits, '0')}`;
}

/** Returns the process that a cgroup belongs to according to its name; undefined if it is not a sandbox's cgroup. */
export function groupOwner(name: string): { readonly pid: number; readonly startedAt: number } | undefined {
  const [, pid, started] = /^nsjs-(\d+)-(\d+)-\d{9}$/.exec(name) ?? [];
  return pid === undefined || started === undefined ? undefined : { pid: Number(pid), startedAt: Number(started) };
}

/** Removes cgroups in `parents` whose processes died together with their keepers. Cgroups of living processes stay. */
export function sweep(parents: readonly string[]): void {
  for (const parent of new Set(parents)) {
    for (const name of namesIn(parent)) {
      const owner = groupOwner(name);
      if (owner && !isAlive(owner) && isAbandoned(join(parent, name))) removeGroup(join(parent, name));
    }
  }
}

function isAlive(owner: { readonly pid: number; readonly startedAt: number }): boolean {
  try {
    return startedAt(owner.pid) === owner.startedAt;
  } catch {
    return false;
  }
}

// The owner may be alive in another pid namespace, where its pid is unknown here. A cgroup that has not changed for
// this long and has no process will not get one.
const settledMs = 10_000;

function isAbandoned(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && found.uid === process.geteuid?.() && Date.now() - found.mtimeMs > settledMs;
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

// The kernel refuses to remove a cgroup that has processes (EBUSY): its keeper is still running.
function removeGroup(directory: string): void {
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true })) if (entry.isDirectory()) rmdirSync(join(directory, entry.name));
    rmdirSync(directory);
    debug('removed %s, which a process left that died', directory);
  } catch (error) {
    debug('%s', (error as Error).message);
  }
}
