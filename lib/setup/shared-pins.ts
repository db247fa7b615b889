import { realpathSync } from 'node:fs';
import type { Context } from '../features/feature';
import { covers, directoriesBetween, isFixed, writableAbove } from '../features/root/pins';
import type { Spec } from '../features/spec';

/**
 * Host paths that running sandboxes of this thread protect below directories that they may write to, with the number of
 * sandboxes that protect each.
 */
const kept = new Map<string, number>();

/** All host paths that running sandboxes of this thread protect. */
export const pinnedPaths = (): readonly string[] => [...kept.keys()];

/**
 * Remembers the protected paths of one sandbox until the returned function is called. Other sandboxes that may write to
 * the same directories pin them too.
 */
export function keepPins(spec: Pick<Spec, 'mounts'>): () => void {
  const paths = [...protectedPaths(spec)];
  for (const path of paths) kept.set(path, (kept.get(path) ?? 0) + 1);
  return () => {
    for (const path of paths.splice(0)) {
      const count = (kept.get(path) ?? 1) - 1;
      if (count === 0) kept.delete(path);
      else kept.set(path, count);
    }
  };
}

/** Host paths that a sandbox protects below directories that it may write to. */
export const protectedPaths = ({ mounts }: Pick<Spec, 'mounts'>): readonly string[] =>
  mounts.flatMap((mount, index) => {
    const cover = isFixed(mount) ? writableAbove(mounts.slice(0, index), mount.target) : undefined;
    const real = cover?.type === 'bind' ? realPath(cover.source) : undefined;
    return real === undefined || cover === undefined ? [] : [`${real}${mount.target.slice(cover.target.length)}`];
  });

/**
 * Returns the paths inside a sandbox of those given host paths that lie below directories that it may write to, with
 * the directories in between.
 */
export function placesOf({ root, mounts }: Pick<Spec, 'root' | 'mounts'>, paths: readonly string[]): readonly string[] {
  const binds = mounts.flatMap((mount, index) =>
    mount.type === 'bind' && !mount.readonly
      ? [{ real: realPath(mount.source), target: mount.target, later: mounts.slice(index + 1) }]
      : [],
  );
  const shared = root === 'host' ? [{ real: '', target: '', later: mounts }, ...binds] : binds;
  return shared.flatMap(({ real, target, later }) => {
    const below = real === undefined ? [] : paths.filter((path) => path.startsWith(`${real}/`));
    const ends = below.map((path) => `${target}${path.slice(real?.length)}`);
    // A path that another mount covers is a different file.
    const there = ends.filter((end) => !later.some((one) => one.target === end || covers(one, end)));
    return there.flatMap((end) => [...directoriesBetween(target, end), end]);
  });
}

/** Those of the given paths that a sandbox does not pin yet. */
export function unpinned(
  spec: Spec,
  { pinned = [] }: Pick<Context, 'pinned'>,
  paths: readonly string[] = pinnedPaths(),
): readonly string[] {
  const known = new Set([...pinned, ...protectedPaths(spec)]);
  return paths.filter((path) => !known.has(path));
}

// The path may have been removed since it was checked. In that case other sandboxes cannot bind it either.
function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
