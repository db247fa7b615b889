import { closeSync, mkdirSync, openSync } from 'node:fs';
import { NsError, SysError } from '../errors';
import type { rangeSize } from '../features/id-map';
import { native } from '../native';

/** First host id that nsjs gives to sandboxes when it runs as root; far above every range that distributions hand out. */
export const firstHostId = 1_900_000_000;
const range = 65_536;
/** First id of the ranges, for sandboxes that have several. */
export const firstRangeId = 2_000_000_000;
const ranges = 30_000;
const tries = 4096;
const folder = '/run/nsjs';
const lockFile = `${folder}/ids.lock`;

/** A host id and the descriptor that keeps it. */
export interface HostId {
  readonly id: number;
  readonly fd: number;
}

let next = Math.floor(Math.random() * range);
let nextRange = Math.floor(Math.random() * ranges);

/**
 * Takes an id, or the first of a range, that no other sandbox on this machine has: one byte of a lock file for each. The lock belongs to the open
 * file, so it ends with the last process that holds it, however that dies.
 */
export function takeHostId(size: 1 | typeof rangeSize): HostId {
  const fd = openLockFile();
  for (let attempt = 0; attempt < tries; attempt++) {
    if (size === 1) {
      next = (next + 1) % range;
      if (native().lockByte(fd, next) === 0) return { id: firstHostId + next, fd };
    } else {
      nextRange = (nextRange + 1) % ranges;
      if (native().lockByte(fd, range + nextRange) === 0) return { id: firstRangeId + nextRange * size, fd };
    }
  }
  closeSync(fd);
  throw new NsError('ERR_NSJS_UNSUPPORTED', 'no free host id for the sandbox', {
    hint: `more than ${tries} sandboxes hold ids in ${lockFile}`,
  });
}

function openLockFile(): number {
  try {
    return openSync(lockFile, 'a', 0o600);
  } catch (first) {
    if ((first as NodeJS.ErrnoException).code !== 'ENOENT') throw lockError(first);
  }
  try {
    mkdirSync(folder, { mode: 0o700, recursive: true });
    return openSync(lockFile, 'a', 0o600);
  } catch (error) {
    throw lockError(error);
  }
}

function lockError(error: unknown): SysError {
  const { errno = -5, syscall = 'open' } = error as NodeJS.ErrnoException;
  return new SysError({
    errno: -errno,
    syscall,
    origin: 'user',
    path: lockFile,
    hint: `root needs to write ${folder} to give each sandbox an id of its own`,
  });
}
