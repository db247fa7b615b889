import { closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { monotonic } from '../base/clock';
import { NsError, SysError } from '../base/errors';
import type { rangeSize } from '../features/id-map';
import { native } from '../native/addon';

/** First host id that nsjs gives to sandboxes when it runs as root; far above all ranges that distributions assign. */
export const firstHostId = 1_900_000_000;
const range = 65_536;
/** First id of the ranges for sandboxes that have several ids. */
const firstRangeId = 2_000_000_000;
const ranges = 30_000;
const tries = 4096;
const lockName = 'ids.lock';
const othersMayWrite = 0o022;

/** A host id and the descriptor whose lock reserves it. */
export interface HostId {
  readonly id: number;
  readonly fd: number;
}

let next = Math.floor(Math.random() * range);
let nextRange = Math.floor(Math.random() * ranges);

/**
 * Reserves an id, or the first id of a range, that no other sandbox on this machine has. Each id or range corresponds
 * to one byte of a lock file. The lock belongs to the open file description, so it ends with the last process that
 * holds it, even if that is killed.
 */
export function takeHostId(size: 1 | typeof rangeSize, directory: string): HostId {
  const fd = openLockFile(directory);
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
    hint: `more than ${tries} sandboxes hold ids in ${directory}`,
  });
}

const freshMs = 1000;
let checked = { directory: '', at: Number.NEGATIVE_INFINITY };

function openLockFile(directory: string): number {
  const open = () => openSync(join(directory, lockName), 'a', 0o600);
  try {
    const now = monotonic();
    if (checked.directory === directory && now - checked.at < freshMs)
      try {
        return open();
      } catch {
        // The directory may have been removed since.
      }
    if (!existsSync(directory)) mkdirSync(directory, { mode: 0o700, recursive: true });
    checkOwner(directory);
    checked = { directory, at: now };
    return open();
  } catch (error) {
    throw lockError(error, directory);
  }
}

function checkOwner(directory: string): void {
  const { uid, mode } = statSync(directory);
  if (uid !== 0 || (mode & othersMayWrite) !== 0)
    throw new NsError('ERR_NSJS_UNSUPPORTED', `stateDir: users other than root may write to ${directory}`, {
      hint: 'set stateDir to another directory, or chmod it to 0700',
    });
}

function lockError(error: unknown, directory: string): unknown {
  if (error instanceof NsError) return error;
  const { errno = -5, syscall = 'open' } = error as NodeJS.ErrnoException;
  return new SysError({
    errno: -errno,
    syscall,
    origin: 'stateDir',
    path: directory,
    hint: 'nsjs records there which ids sandboxes have: set the option stateDir to a writable directory',
  });
}
