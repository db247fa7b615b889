import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers';
import { SysError } from '../base/errors';

/** A cgroup that can be frozen, cgroups(7). */
export interface FreezerGroup {
  readonly version: 1 | 2;
  readonly directory: string;
}

const files = {
  1: { control: 'freezer.state', state: 'freezer.state', on: 'FROZEN', off: 'THAWED', isOn: /^FROZEN/ },
  2: { control: 'cgroup.freeze', state: 'cgroup.events', on: '1', off: '0', isOn: /^frozen 1$/m },
} as const;
const pauseMs = 2;

/**
 * Freezes or thaws all tasks of a cgroup. Resolves once the kernel reports the new state, or once `matters` returns
 * false. Throws a SysError.
 */
export async function setFrozen({ version, directory }: FreezerGroup, frozen: boolean, matters: () => boolean): Promise<void> {
  const { control, state, on, off, isOn } = files[version];
  try {
    await writeFile(join(directory, control), frozen ? on : off);
    while (matters() && isOn.test(await readFile(join(directory, state), 'latin1')) !== frozen)
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
  } catch (error) {
    if (!matters()) return;
    const { errno = -5, syscall = 'write', path } = error as NodeJS.ErrnoException;
    throw new SysError({ errno: -errno, syscall, origin: 'cgroup.freezer', path });
  }
}
