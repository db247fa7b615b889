import { randomInt } from 'node:crypto';
import { readdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { debuglog } from 'node:util';
import { startedAt } from '../proc/start-time';

const debug = debuglog('nsjs');

/**
 * Names of one length, so that a plan can be written over: this process's pid, when it started (pids come again), a number.
 * What bears the name of a process that is gone is nobody's.
 */
const countDigits = 9;
const counts = 10 ** countDigits;
// Threads of one process, and copies of this module in it, count each for themselves: none begins where another one does.
let count = randomInt(counts);
let prefix: string | undefined;

/** A name for the cgroups of one sandbox. */
export function nextGroupName(): string {
  prefix ??= `nsjs-${process.pid}-${startedAt('self')}`;
  return `${prefix}-${`${count++ % counts}`.padStart(countDigits, '0')}`;
}

/** What the name of a group says: whose it is, undefined if it is no sandbox's. */
export function groupOwner(name: string): { readonly pid: number; readonly startedAt: string } | undefined {
  const [, pid, started] = /^nsjs-(\d+)-(\d+)-\d{9}$/.exec(name) ?? [];
  return pid === undefined || started === undefined ? undefined : { pid: Number(pid), startedAt: started };
}

/** Removes the groups that processes left there which died together with their keepers. Groups of the living stay. */
export function sweep(parents: readonly string[]): void {
  for (const parent of new Set(parents)) {
    for (const name of namesIn(parent)) {
      const owner = groupOwner(name);
      if (owner && !isAlive(owner) && isAbandoned(join(parent, name))) removeGroup(join(parent, name));
    }
  }
}

function isAlive(owner: { readonly pid: number; readonly startedAt: string }): boolean {
  try {
    return startedAt(owner.pid) === owner.startedAt;
  } catch {
    return false;
  }
}

// Of another pid namespace nothing is known of who made a group: one that has no process for so long will get none.
const settledMs = 10_000;

function isAbandoned(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && found.uid === process.geteuid?.() && Date.now() - found.mtimeMs > settledMs;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

// A group that has processes is kept by the kernel (EBUSY): its keeper is still at work.
function removeGroup(folder: string): void {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) rmdirSync(join(folder, entry.name));
    rmdirSync(folder);
    debug('removed %s, which a process left that died', folder);
  } catch (error) {
    debug('%s', (error as Error).message);
  }
}
