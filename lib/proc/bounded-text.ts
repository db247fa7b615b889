import { closeSync, openSync, readSync } from 'node:fs';

/** The most that is read of a file of /proc at once on the thread that calls: what programs do can make some of them as long as they like. */
export const maxRead = 64 * 1024;

/** The first bytes of a file, `limit` at most; empty where it is gone, or not to be read. */
export function boundedText(path: string, limit: number = maxRead): string {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const buffer = Buffer.allocUnsafe(Math.min(limit, maxRead));
    let size = 0;
    // A file of /proc gives a page or so at a time.
    for (let got = -1; got !== 0 && size < buffer.length; size += got) got = readSync(fd, buffer, size, buffer.length - size, null);
    return buffer.toString('latin1', 0, size);
  } catch {
    return '';
  } finally {
    closeSync(fd);
  }
}
