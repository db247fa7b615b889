import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { NsError, SysError } from '../base/errors';
import { native } from '../native/addon';

const embedded = -1;

/**
 * Returns the bytes of the launcher that is embedded in the addon. A file named by `launcherPath` must have this
 * content.
 */
export function launcherImage(): Uint8Array {
  return new Uint8Array(native().image());
}

/**
 * Opens the launcher to execute. Returns -1 for the embedded one, else a descriptor of the file. The file's content is
 * compared byte for byte through the same descriptor that is executed.
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
  throw new NsError('ERR_NSJS_LAUNCHER', `launcherPath: ${path} is not the launcher of this version, or other users may write to it`, {
    hint: `write it again with \`nsjs launcher > ${path}\` and chmod it to 755`,
  });
}

export function closeLauncher(fd: number): void {
  if (fd >= 0 && fd !== testLauncher) closeSync(fd);
}

let testLauncher: number | undefined;

/** Sets a launcher that fails on purpose, for nsjs's own tests. No export of the package leads here. */
export function useTestLauncher(fd: number | undefined): void {
  testLauncher = fd;
}

function openFile(path: string): number {
  try {
    // O_NONBLOCK, so that opening a FIFO does not block. Anything but a regular file is refused after it is open.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { errno = -5, syscall = 'open' } = error as NodeJS.ErrnoException;
    throw new SysError({ errno: -errno, syscall, origin: 'launcherPath', path, hint: 'write it with `nsjs launcher > FILE`' });
  }
}
