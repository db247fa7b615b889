import type { Spec } from '../spec';
import { homeDirectory } from './home';

type MountSpec = Spec['mounts'][number];

/** Returns whether programs may write to a mount, as far as their ids allow. */
export const isWritableMount = (mount: MountSpec): boolean =>
  mount.type === 'tmpfs' || mount.type === 'overlay' || mount.type === 'tree' || (mount.type === 'bind' && !mount.readonly);

/** Returns whether a mount must stay at its target: it protects what is there, or keeps writes apart from it. */
export const isFixed = (mount: MountSpec): boolean => !['symlink', 'dir', 'proc', 'dev'].includes(mount.type);

/** Returns whether a mount covers a path. `readonly` and `mask` are mounts as well; links and directories are not. */
export const covers = ({ type, target }: MountSpec, path: string): boolean =>
  type !== 'symlink' && type !== 'dir' && path.startsWith(`${target}/`);

/** Returns the directories between a path and one below it, topmost first, without these two. */
export function directoriesBetween(from: string, path: string): readonly string[] {
  const names = path.slice(from.length + 1).split('/');
  return names.slice(1).map((_, index) => `${from}/${names.slice(0, index + 1).join('/')}`);
}

/** Returns the mounts that must stay at their targets: no directory on the way there may have been renamed. */
export const fixedTargets = ({ root, mounts }: Pick<Spec, 'root' | 'mounts'>): readonly MountSpec[] =>
  mounts.filter((mount, index) => isFixed(mount) && !(mount.type === 'file' && isMade(root, mounts.slice(0, index), mount.target)));

// On a new root a file is created in place, without a mount. That root is read-only in the end.
const isMade = (root: Spec['root'], before: readonly MountSpec[], path: string): boolean =>
  (root === 'system' || root === 'empty') && !before.some((one) => covers(one, path)) && scratchAbove(path) === undefined;

const scratchAbove = (path: string): string | undefined =>
  ['/tmp', '/dev/shm', homeDirectory].find((directory) => path.startsWith(`${directory}/`));

/** Returns whether a path may be mounted on itself to keep mounts below it in place. */
export const mayBePinned = ({ mounts }: Pick<Spec, 'mounts'>, path: string): boolean =>
  mounts.some((mount) => isFixed(mount) && mount.target.startsWith(`${path}/`));

/**
 * Returns whether something is mounted in a writable directory of the host, so that others may rename directories on
 * the way to it.
 */
export const protectsBelowWritable = ({ mounts }: Pick<Spec, 'mounts'>): boolean =>
  mounts.some(
    (mount, index) => isFixed(mount) && ['bind', 'tree'].includes(writableAbove(mounts.slice(0, index), mount.target)?.type ?? ''),
  );

/** Returns the mount that contains a path, if programs may write there. */
export function writableAbove(mounts: readonly MountSpec[], path: string): MountSpec | undefined {
  const cover = mounts.findLast((one) => covers(one, path));
  return cover && isWritableMount(cover) ? cover : undefined;
}

/** Returns the directories on the way to a path that programs of a running sandbox may rename. */
export function looseDirectories({ root, mounts }: Pick<Spec, 'root' | 'mounts'>, path: string): readonly string[] {
  const cover = mounts.findLast((one) => covers(one, path));
  if (cover) return isWritableMount(cover) ? directoriesBetween(cover.target, path) : [];
  if (root === 'host' || typeof root === 'object') return directoriesBetween('', path);
  const scratch = scratchAbove(path);
  return scratch === undefined ? [] : directoriesBetween(scratch, path);
}
