import { OptionError } from '../base/errors';
import { parseTarget } from '../base/parse';
import { insideIds } from '../features/id-map';
import type { OverlaySpec } from '../features/root/overlay';
import { directoryFd, overlaysOf } from '../features/root/root';
import type { Spec } from '../features/spec';
import { OverlayChanges } from '../fs/overlay';
import type { Root } from '../fs/root';
import type { Runtime } from '../runtime/runtime';

/** Returns the changes of the overlay at a target. */
export function overlayChanges(
  at: string,
  runtime: Runtime,
  directory: (what: number) => Root,
  close: () => Promise<void>,
): OverlayChanges {
  const target = parseTarget(at, 'target');
  const { spec, context } = runtime;
  const index = overlaysOf(spec).findIndex((one) => one.target === target);
  const overlay = findOverlay(spec, target);
  if (!overlay) throw new OptionError('target', `there is no overlay at ${target}`);
  const what = directoryFd.upper + index;
  const own = insideIds(spec.user, context.host);
  const base = context.hostId ?? 0;
  return new OverlayChanges({
    // Looked up on each use, because a closed sandbox has no directories.
    root: () => directory(what),
    lower: overlay.lower,
    upper: overlay.upper === 'memory' ? undefined : overlay.upper,
    keepsOwners: context.hostId !== undefined && spec.user.ids !== 'one',
    // With a single id, every file belongs to it. With several ids under root, host ids are consecutive from `base`.
    idInside: (uid, gid) => (spec.user.ids === 'one' || context.hostId === undefined ? own : { uid: uid - base, gid: gid - base }),
    close,
  });
}

function findOverlay(spec: Spec, target: string): OverlaySpec | undefined {
  if (target === '/') return typeof spec.root === 'object' ? spec.root : undefined;
  return spec.mounts.find((mount) => mount.type === 'overlay' && mount.target === target) as OverlaySpec | undefined;
}
