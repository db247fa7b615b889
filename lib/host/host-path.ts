import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { posix } from 'node:path';
import { errnos } from '../base/errnos';
import { SysError } from '../base/errors';

const maxLinks = 40;
const othersMayWrite = 0o022;
// Root, and the overflow uid, as which root appears where its id is not mapped.
const systemOwners: readonly number[] = [0, 65_534];

// Links directly in a directory of systemDirectories, or at any depth in one of systemTrees, are part of the system:
// /var/run, /etc/resolv.conf, /usr/bin/python3.
const systemDirectories: readonly string[] = ['/', '/var', '/run'];
const systemTrees: readonly string[] = ['/usr', '/etc', '/nix', '/gnu'];
// The group of the build users may add entries to these directories, but may not write to existing entries.
const stores: readonly string[] = ['/nix/store', '/gnu/store'];

const isSystem = (directory: string): boolean =>
  systemDirectories.includes(directory) || systemTrees.some((tree) => directory === tree || directory.startsWith(`${tree}/`));

/**
 * Returns the real path of a file of the host. A symbolic link in the path is followed only if it is part of the
 * system: directly in `/`, `/var` or `/run`, or below /usr, /etc, /nix or /gnu, in directories that belong to root and
 * that nobody else may write to. Any other link may have been created by a program with write access to its directory,
 * for example in an earlier sandbox. Throws a SysError: ELOOP with the link and its target, or the error of lstat(2)
 * for a missing file.
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
    errno: errnos.ELOOP,
    syscall: 'lstat',
    origin,
    path,
    hint: `it is a symbolic link to ${target}, which a program with write access to its directory may have created: pass the real path, or set followLinks: true where that option exists`,
  });
