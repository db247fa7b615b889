import { existsSync, fstatSync, realpathSync } from 'node:fs';
import type { Context } from '../feature';
import type { Spec } from '../spec';
import { statSource } from './mount-ops';
import type { RootTree } from './tree';

type MountSpec = Spec['mounts'][number];

/**
 * Creates the mount point of a mount in a directory that is read-only when the mount follows. Mounts of type `readonly`
 * and `mask` apply to existing paths, so they have none; neither do symbolic links.
 */
export function placeMount(tree: RootTree, mount: MountSpec, origin: string): void {
  if (mount.type === 'readonly' || mount.type === 'mask' || mount.type === 'symlink') return;
  if (mount.type === 'bind') tree.place(mount.target, statSource(mount.source, origin).kind);
  else if (mount.type === 'tree') tree.place(mount.target, fstatSync(mount.tree).isDirectory() ? 'dir' : 'file');
  else tree.place(mount.target, mount.type === 'file' ? 'file' : 'dir');
}

/**
 * Pins paths that other sandboxes of this process protect in the same directory, so that they cannot be renamed from
 * here either.
 */
export function pinForOthers(
  tree: RootTree,
  { source, target }: { readonly source: string; readonly target: string },
  origin: string,
  context: Context,
): void {
  if (!context.pinned?.length) return;
  const real = source === '/' ? '' : realpathSync(source);
  for (const path of context.pinned)
    if (path.startsWith(`${real}/`) && existsSync(path)) tree.pinAll(target, path.slice(real.length), origin);
}
