import { existsSync } from 'node:fs';
import type { MountSpec } from '../features/root/mounts';
import { covers } from '../features/root/pins';
import { runHost } from '../launcher/run-plan';
import { PlanWriter } from '../plan/writer';
import type { Opened, Runtime } from '../runtime/runtime';
import { keepPins, pinnedPaths, placesOf, protectedPaths, unpinned } from '../setup/shared-pins';
import { enter } from './enter';

interface Open {
  readonly opened: Opened;
  /** Paths pinned while the sandbox runs. */
  readonly places: Set<string>;
}

const origin = 'mounts';
const open = new Map<Runtime, Open>();

/**
 * Makes the open sandboxes of this thread pin each other's protected paths from now on: in directories that they share,
 * the others pin the paths that this one protects, and this one pins theirs, whatever the order in which they were
 * opened.
 */
export async function sharePins(runtime: Runtime, opened: Opened): Promise<void> {
  open.set(runtime, { opened, places: new Set() });
  void runtime.ended.then(() => open.delete(runtime));
  await pinInOthers(runtime);
  // Another sandbox may have been opened since.
  await pinPaths(runtime, pinnedPaths());
}

/** Pins the paths that a sandbox protects in all other sandboxes. */
async function pinInOthers(runtime: Runtime): Promise<void> {
  const paths = protectedPaths(runtime.spec);
  if (paths.length > 0) await Promise.all([...open.keys()].map((other) => (other === runtime ? undefined : pinPaths(other, paths))));
}

/** Updates the pins after a mount into a running sandbox, in this sandbox and in the others. */
export async function shareMount(runtime: Runtime, mount: MountSpec): Promise<void> {
  // The new mount covers the pins below its target.
  const known = open.get(runtime);
  for (const place of known?.places ?? []) if (place === mount.target || covers(mount, place)) known?.places.delete(place);
  const own = new Set(protectedPaths(runtime.spec));
  const others = pinnedPaths().filter((path) => !own.has(path) && existsSync(path));
  await pinInto(runtime, placesOf({ root: 'empty', mounts: [mount] }, others));
  const forget = keepPins({ mounts: runtime.spec.mounts });
  void runtime.ended.then(forget);
  await pinInOthers(runtime);
}

async function pinPaths(runtime: Runtime, paths: readonly string[]): Promise<void> {
  // The sandbox uses the host's mount namespace, whose mounts must not be changed.
  if (!runtime.spec.namespaces.mnt) return;
  const wanted = unpinned(runtime.spec, runtime.context, paths).filter((path) => existsSync(path));
  try {
    await pinInto(runtime, placesOf(runtime.spec, wanted));
  } catch (error) {
    // Ignored for a sandbox that is ending: its programs can no longer rename anything.
    if (runtime.usable) throw error;
  }
}

/** Mounts directories of a running sandbox on themselves, so that no process inside can rename them. */
export async function pinInto(runtime: Runtime, places: readonly string[]): Promise<void> {
  const known = open.get(runtime);
  const missing = known ? [...new Set(places)].filter((place) => !known.places.has(place)) : [];
  if (!known || missing.length === 0) return;
  const plan = new PlanWriter();
  const root = enter(plan, known.opened, origin);
  for (const place of missing) plan.op('maps', origin, 'Pin', root, place);
  await runHost(plan, runtime.spec.launcherPath);
  for (const place of missing) known.places.add(place);
}
