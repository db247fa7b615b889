import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { posix } from 'node:path';
import { SysError } from '../base/errors';

const maxLinks = 40;
const eloop = 40;
const othersMayWrite = 0o022;
// Root, and, where root's id is not mapped, whoever stands for it.
const systemOwners: readonly number[] = [0, 65_534];

// Links that lie directly in these, or anywhere below the others, are part of the system: /var/run, /etc/resolv.conf, /usr/bin/python3.
const systemFolders: readonly string[] = ['/', '/var', '/run'];
const systemTrees: readonly string[] = ['/usr', '/etc', '/nix', '/gnu'];
// Their builders' group may add to them, and to nothing in them.
const stores: readonly string[] = ['/nix/store', '/gnu/store'];

const isSystem = (folder: string): boolean =>
  systemFolders.includes(folder) || systemTrees.some((tree) => folder === tree || folder.startsWith(`${tree}/`));

/**
 * The real path of a file of the host that a caller names. A symbolic link on the way, or at its end, is followed only where it is part of
 * the system: directly in `/`, `/var` or `/run`, or below /usr, /etc, /nix or /gnu, in directories that belong to root and that
 * nobody else may write to. Any other could have been put there by a program that has written to that directory, an earlier sandbox for
 * example. Throws a SysError: ELOOP names the link and where it leads; that of lstat(2) for what is not there.
 */
export function realHostPath(path: string, origin: string): string {
  const left = path.split('/').filter(Boolean);
  let at = '/';
  let isTrusted = true;
  for (let links = 0; left.length > 0; ) {
    const name = left.shift() ?? '';
    if (name === '.') continue;
    if (name === '..') {
      at = posix.dirname(at);
      continue;
    }
    const next = posix.join(at, name);
    const stats = statLink(next, origin);
    if (!stats.isSymbolicLink()) {
      isTrusted &&= systemOwners.includes(stats.uid) && ((stats.mode & othersMayWrite) === 0 || stores.includes(next));
      at = next;
      continue;
    }
    const target = readlinkSync(next);
    if (!isTrusted || !isSystem(at) || ++links > maxLinks) throw refusedLink(next, target, origin);
    left.unshift(...target.split('/').filter(Boolean));
    if (target.startsWith('/')) at = '/';
  }
  return at;
}

function statLink(path: string, origin: string): Stats {
  try {
    return lstatSync(path);
  } catch (cause) {
    const { errno = -5, syscall = 'lstat' } = cause as NodeJS.ErrnoException;
    throw new SysError({ errno: -errno, syscall, origin, path, hint: 'it must exist on the host and be reachable by the caller' });
  }
}

const refusedLink = (path: string, target: string, origin: string): SysError =>
  new SysError({
    errno: eloop,
    syscall: 'lstat',
    origin,
    path,
    hint: `it is a symbolic link to ${target}, which whoever may write to its directory can have put there: name the real path, or set followLinks: true where that is an option`,
  });
