import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { NsError } from '../base/errors';
import { realHostPath } from '../host/host-path';

/**
 * Opens a regular file for reading. Others may write to its directory, so a FIFO, a device or a socket is refused and
 * never blocks, and a link is followed only if it is part of the system. Rejects with NsError ERR_NSJS_ARCHIVE, with
 * SysError (ELOOP, or an error of lstat(2)), or with the error of open(2).
 */
export async function openRegular(path: string): Promise<FileHandle> {
  const real = realHostPath(path, 'archive');
  const file = await open(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY).catch((error: NodeJS.ErrnoException) => {
    // open(2) fails with ENXIO for a socket.
    if (error.code === 'ENXIO') throw notRegular(path);
    throw error;
  });
  try {
    if ((await file.stat()).isFile()) return file;
    throw notRegular(path);
  } catch (error) {
    await file.close();
    throw error;
  }
}

const notRegular = (path: string): NsError =>
  new NsError('ERR_NSJS_ARCHIVE', `${path} is not a regular file`, {
    hint: 'expected a file, since reading a FIFO, a device or a socket could block',
  });
