import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { OptionError } from '../base/errors';

/**
 * Formats a device number from stat(2) as `major:minor`. The low eight bits of the minor number lie below the major
 * number.
 */
function numberOf(device: number): string {
  const low = device & 0xff;
  const high = (device >>> 12) & 0xfff00;
  return `${(device >>> 8) & 0xfff}:${high | low}`;
}

/**
 * Returns the whole disk, as `major:minor`, that a file or directory is on or that a device file refers to: cgroups
 * limit disks, not partitions. Throws an OptionError if there is none, as for files in memory or on overlays.
 */
export function diskOf(path: string, at: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new OptionError(at, `${path} does not exist`);
  return wholeDisk(numberOf(found.isBlockDevice() ? found.rdev : found.dev), path, at);
}

function wholeDisk(number: string, path: string, at: string): string {
  const entry = `/sys/dev/block/${number}`;
  if (!existsSync(entry)) throw new OptionError(at, `${path} is not on a block device (${number})`);
  return existsSync(join(entry, 'partition')) ? readFileSync(join(realpathSync(entry), '..', 'dev'), 'latin1').trim() : number;
}
