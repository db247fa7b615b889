import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LimitsSpec } from '../cgroup/limits';
import { controllersFor, onlyVersion2, settingsOf } from '../cgroup/settings';
import { inOrder, writeSettings } from '../cgroup/write';
import { NsError } from '../errors';
import type { Cgroups } from '../features/feature';
import { resolve } from './groups';

/** Writes changed limits to the groups of a sandbox that runs; returns all that are in force then. Throws, and then nothing has changed. */
export function updateLimits({ version, folders, swapAccounting }: Cgroups, limits: LimitsSpec, changes: LimitsSpec): LimitsSpec {
  const hint = 'see `nsjs probe` for cgroup';
  if (version === undefined) throw new NsError('ERR_NSJS_UNSUPPORTED', 'limits: the sandbox has no control group', { hint });
  const only2 = version === 1 ? onlyVersion2(changes) : undefined;
  const missing = controllersFor(changes).find((name) => folders[name] === undefined);
  if (only2 !== undefined) throw new NsError('ERR_NSJS_UNSUPPORTED', `${only2}: needs control groups of version 2`, { hint });
  if (missing !== undefined)
    throw new NsError('ERR_NSJS_UNSUPPORTED', `limits: the sandbox was opened without a group of the controller ${missing}`, {
      hint: 'open it with a limit of that kind',
    });
  const held = resolve(changes, { version, parents: folders });
  const swap = changes.memory !== undefined && changes.swap === undefined && limits.swap !== undefined ? { swap: limits.swap } : {};
  const memory = changes.swap !== undefined && changes.memory === undefined && limits.memory !== undefined ? { memory: limits.memory } : {};
  const settings = settingsOf({ ...held, ...swap, ...memory }, { version, swapAccounting, ownProcesses: 1 });
  const now = version === 1 && swapAccounting ? readNumber(join(folders.memory ?? '', 'memory.memsw.limit_in_bytes')) : 0;
  writeSettings(version === 1 ? inOrder(settings, now) : settings, folders);
  return { ...limits, ...held };
}

const readNumber = (path: string): number => Number(readFileSync(path, 'latin1'));
