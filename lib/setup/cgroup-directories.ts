import { openSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Passes controllers on to the child cgroups. */
export function passOn(directory: string, names: readonly string[]): void {
  writeFileSync(join(directory, 'cgroup.subtree_control'), names.map((name) => `+${name}`).join(' '));
}

/** Opens a file for writing. Returns undefined if it cannot be opened. */
export function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'w');
  } catch {
    return undefined;
  }
}

/** Removes a cgroup. Returns whether it is gone. */
export function removed(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

/** Pids of the processes in a cgroup. */
export function members(directory: string): readonly number[] {
  try {
    return readFileSync(join(directory, 'cgroup.procs'), 'latin1').split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
