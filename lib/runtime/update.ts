import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NsError } from '../base/errors';
import type { LimitsSpec } from '../cgroup/limits';
import { checkQuota, controllersFor, onlyVersion2, settingsOf } from '../cgroup/settings';
import { inOrder, writeSettings } from '../cgroup/write';
import type { Cgroups } from '../features/feature';
import { resolve } from '../setup/choose-cgroup';
import { refuse } from './program-group';

/**
 * Writes changed limits to the cgroups of a running sandbox and returns all limits now in force. If it throws, nothing
 * has changed.
 */
export function updateLimits({ version, directories, swapAccounting }: Cgroups, limits: LimitsSpec, changes: LimitsSpec): LimitsSpec {
  const hint = 'see `nsjs probe` for cgroup';
  if (version === undefined) throw new NsError('ERR_NSJS_UNSUPPORTED', 'limits: the sandbox has no cgroup', { hint });
  const inForce = { ...pick(limits, ['memory']), ...changes };
  if (version === 1) refuse(onlyVersion2(inForce, true));
  // On version 1 the launcher enforces `oomGroup`, and cannot stop doing so.
  if (version === 1 && changes.oomGroup === false && limits.oomGroup) refuse(['oomGroup']);
  checkQuota({ ...pick(limits, ['cpu', 'cpuPeriod']), ...changes }, 'limits');
  const missing = controllersFor(changes).find((name) => directories[name] === undefined);
  if (missing !== undefined)
    throw new NsError('ERR_NSJS_UNSUPPORTED', `limits: the sandbox has no cgroup with the controller ${missing}`, {
      hint: 'open the sandbox with a limit that needs this controller',
    });
  const held = resolve(changes, { version, parents: directories });
  // Limits that share a file or depend on each other are written together.
  const beside = {
    ...(changes.memory === undefined ? {} : pick(limits, ['swap'])),
    ...(changes.swap === undefined ? {} : pick(limits, ['memory'])),
    ...(changes.cpu === undefined ? {} : pick(limits, ['cpuPeriod'])),
    ...(changes.cpuBurst === undefined ? {} : pick(limits, ['cpu', 'cpuPeriod'])),
  };
  // A disk that is no longer named has no limit any more.
  const freed =
    changes.io === undefined ? [] : (limits.io ?? []).filter(({ device }) => !held.io?.some((entry) => entry.device === device));
  const io = held.io ? { io: [...held.io, ...freed.map(({ device }) => ({ device }))] } : {};
  const settings = settingsOf({ ...beside, ...held, ...io }, { version, swapAccounting, ownProcesses: 1 });
  const now = version === 1 && swapAccounting ? readNumber(join(directories.memory ?? '', 'memory.memsw.limit_in_bytes')) : 0;
  writeSettings(version === 1 ? inOrder(settings, now) : settings, directories);
  return { ...limits, ...held };
}

function pick<K extends keyof LimitsSpec>(limits: LimitsSpec, names: readonly K[]): Pick<LimitsSpec, K> {
  return Object.fromEntries(names.filter((name) => limits[name] !== undefined).map((name) => [name, limits[name]])) as Pick<LimitsSpec, K>;
}

const readNumber = (path: string): number => Number(readFileSync(path, 'latin1'));
