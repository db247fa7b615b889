import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { NsError, SysError } from '../base/errors';
import { native } from '../native/addon';

const embedded = -1;

/** The launcher that is embedded in the addon, as bytes: what `launcherPath` must hold. */
export function launcherImage(): Uint8Array {
  return new Uint8Array(native().image());
}

/**
 * Opens the launcher to execute: -1 for the embedded one, else the file, whose content is compared byte for byte
 * through the same descriptor that is executed.
 */
export function openLauncher(path: string | undefined): number {
  if (path === undefined) return testLauncher ?? embedded;
  const fd = openFile(path);
  try {
    const stats = fstatSync(fd);
    const { mode, uid } = stats;
    const trusted = stats.isFile() && (mode & 0o022) === 0 && (uid === 0 || uid === process.geteuid?.());
    if (trusted && readFileSync(fd).equals(launcherImage())) return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  throw new NsError('ERR_NSJS_LAUNCHER', `launcherPath: ${path} is not the launcher of this version, or others may write to it`, {
    hint: `write it again with \`nsjs launcher > ${path}\` and chmod it to 755`,
  });
}

export function closeLauncher(fd: number): void {
  if (fd >= 0 && fd !== testLauncher) closeSync(fd);
}

let testLauncher: number | undefined;

/** For nsjs's own tests of a launcher that fails on purpose; no export of the package leads here. */
export function useTestLauncher(fd: number | undefined): void {
  testLauncher = fd;
}

function openFile(path: string): number {
  try {
    // What is no file is refused once it is open: never waited for.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { errno = -5, syscall = 'open' } = error as NodeJS.ErrnoException;
    throw new SysError({ errno: -errno, syscall, origin: 'launcherPath', path, hint: 'write it with `nsjs launcher > FILE`' });
  }
}
