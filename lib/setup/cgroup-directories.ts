import { openSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Passes controllers on to the groups below. */
export function passOn(folder: string, names: readonly string[]): void {
  writeFileSync(join(folder, 'cgroup.subtree_control'), names.map((name) => `+${name}`).join(' '));
}

/** Opens a file to be written, if there is one. */
export function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'w');
  } catch {
    return undefined;
  }
}

/** Removes a group; whether it is gone. */
export function removed(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

/** Pids of its processes. */
export function members(folder: string): readonly number[] {
  try {
    return readFileSync(join(folder, 'cgroup.procs'), 'latin1').split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
