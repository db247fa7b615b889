import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { SysError } from '../base/errors';
import type { GroupDirectories } from './layout';
import type { Setting } from './settings';

const hints: Readonly<Record<string, string>> = {
  EBUSY: 'the current usage exceeds the new limit, which version 1 of cgroups does not accept; use a higher limit',
  ENODEV: 'the device does not exist or is not a whole disk',
  ENOENT: 'this kernel does not have this file',
  EINVAL: 'the kernel does not accept this value; see cgroups(7)',
};

/**
 * Writes settings to existing cgroups. If one is refused, restores the settings written before it and throws a SysError
 * that names the refused one.
 */
export function writeSettings(settings: readonly Setting[], directories: GroupDirectories): void {
  const undo: (() => void)[] = [];
  for (const { controller, file, value, origin, optional } of settings) {
    const path = join(directories[controller] ?? '', file);
    try {
      const before = readFileSync(path, 'latin1');
      writeFileSync(path, value);
      undo.unshift(() => restore(path, before, value));
    } catch (error) {
      // A kernel without swap accounting has no file for it. Any other missing file is an error, because a limit would
      // be lost without notice.
      if (optional && origin === 'limits.swap' && (error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      for (const step of undo) step();
      const { errno = -5, syscall = 'write', code = '' } = error as NodeJS.ErrnoException;
      throw new SysError({ errno: -errno, syscall, origin, path, hint: hints[code] });
    }
  }
}

const noLimit: Readonly<Record<string, string>> = { 'io.max': 'rbps=max wbps=max riops=max wiops=max' };

// A file with a line per device is restored for the written device only: its previous line, or no limit if it had none.
function restore(path: string, before: string, written: string): void {
  const [device = ''] = /^\d+:\d+ /.exec(written) ?? [];
  const line = device === '' ? before.trim() : before.split('\n').find((one) => one.startsWith(device));
  try {
    // An empty string would not cause a write(2).
    writeFileSync(path, line === '' ? '\n' : (line ?? `${device}${noLimit[basename(path)] ?? '0'}`));
  } catch {
    // The cgroup no longer exists, or its usage exceeds the previous limit. The stricter of both limits stays in force.
  }
}

/**
 * Sorts settings of version 1 so that the memory limit never exceeds the limit of memory and swap together. `now` is
 * the limit of memory and swap that is in force.
 */
export function inOrder(settings: readonly Setting[], now: number): readonly Setting[] {
  const at = (file: string) => settings.find((setting) => setting.file === file);
  const [memory, both] = [at('memory.limit_in_bytes'), at('memory.memsw.limit_in_bytes')];
  if (!memory || !both || Number(both.value) < now) return settings;
  return [both, ...settings.filter((setting) => setting !== both)];
}
