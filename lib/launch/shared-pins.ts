import { realpathSync } from 'node:fs';
import type { Spec } from '../features';
import { covers, isFixed, isWritableMount } from '../features/pins';

/** Paths of the host that running sandboxes of this thread protect below directories they may write to, and how many of them do. */
const kept = new Map<string, number>();

/** All of them. */
export const pinnedPaths = (): readonly string[] => [...kept.keys()];

/** Remembers those of one sandbox until the returned function is called; others that may write to the same directories pin them too. */
export function keepPins({ mounts }: Spec): () => void {
  const paths = mounts.flatMap((mount, index) => {
    const cover = isFixed(mount) ? mounts.slice(0, index).findLast((one) => covers(one, mount.target)) : undefined;
    const real = cover?.type === 'bind' && isWritableMount(cover) ? realPath(cover.source) : undefined;
    return real === undefined || cover === undefined ? [] : [`${real}${mount.target.slice(cover.target.length)}`];
  });
  for (const path of paths) kept.set(path, (kept.get(path) ?? 0) + 1);
  return () => {
    for (const path of paths.splice(0)) {
      const count = (kept.get(path) ?? 1) - 1;
      if (count === 0) kept.delete(path);
      else kept.set(path, count);
    }
  };
}

// It was there a moment ago; if it is not any more there is nothing that others could bind.
function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
