import { lstatSync, mkdirSync, readlinkSync } from 'node:fs';
import { NsError } from '../base/errors';

const maxLinks = 40;

/**
 * Resolves a path to its real directory as if `root` were the root: links are followed, and none leads outside. Only
 * for trees that no other process changes during the call. With `make`, missing directories are created.
 */
export function resolveInside(root: string, path: string, make: boolean): string {
  let links = 0;
  const at: string[] = [];
  const left = path.split('/');
  while (left.length > 0) {
    const part = left.shift();
    if (part === undefined || part === '' || part === '.') continue;
    if (part === '..') {
      at.pop();
      continue;
    }
    const next = [root, ...at, part].join('/');
    const stats = lstatSync(next, { throwIfNoEntry: false });
    if (!stats && make) mkdirSync(next, { mode: 0o755 });
    if (stats?.isSymbolicLink()) {
      if (++links > maxLinks) throw new NsError('ERR_NSJS_ARCHIVE', `${path}: more than 40 symbolic links`);
      const target = readlinkSync(next);
      if (target.startsWith('/')) at.length = 0;
      left.unshift(...target.split('/'));
    } else if (stats && !stats.isDirectory()) throw new NsError('ERR_NSJS_ARCHIVE', `${path}: ${part} is not a directory`);
    else at.push(part);
  }
  return [root, ...at].join('/');
}
