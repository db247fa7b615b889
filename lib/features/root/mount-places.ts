import { existsSync, fstatSync, realpathSync } from 'node:fs';
import type { Scene } from '../feature';
import type { Spec } from '../spec';
import { statSource } from './mount-ops';
import type { RootTree } from './tree';

type MountSpec = Spec['mounts'][number];

/** Makes the place of a mount in a directory that is read-only when it is mounted; what is there already, or hidden, has none. */
export function placeMount(tree: RootTree, mount: MountSpec, origin: string): void {
  if (mount.type === 'readonly' || mount.type === 'mask' || mount.type === 'symlink') return;
  if (mount.type === 'bind') tree.place(mount.target, statSource(mount.source, origin).kind);
  else if (mount.type === 'tree') tree.place(mount.target, fstatSync(mount.tree).isDirectory() ? 'dir' : 'file');
  else tree.place(mount.target, mount.type === 'file' ? 'file' : 'dir');
}

/** What another sandbox of this process has protected in the same directory can't be renamed from here either. */
export function pinForOthers(
  tree: RootTree,
  { source, target }: { readonly source: string; readonly target: string },
  origin: string,
  scene: Scene,
): void {
  if (!scene.pinned?.length) return;
  const real = source === '/' ? '' : realpathSync(source);
  for (const path of scene.pinned)
    if (path.startsWith(`${real}/`) && existsSync(path)) tree.pinAll(target, path.slice(real.length), origin);
}
