import { closeSync, openSync, readSync } from 'node:fs';

/**
 * Most bytes to read of a file of /proc, since the calling thread blocks and programs can make some of these files
 * arbitrarily long.
 */
const maxRead = 64 * 1024;

/**
 * Returns the first bytes of a file, at most `limit` and {@link maxRead}. Empty if the file does not exist or cannot be
 * read.
 */
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
    // One read of a file of /proc returns about a page.
    for (let got = -1; got !== 0 && size < buffer.length; size += got) got = readSync(fd, buffer, size, buffer.length - size, null);
    return buffer.toString('latin1', 0, size);
  } catch {
    return '';
  } finally {
    closeSync(fd);
  }
}
