import { existsSync } from 'node:fs';
import type { MountSpec } from '../features/root/mounts';
import { covers } from '../features/root/pins';
import { runHost } from '../launcher/run-plan';
import { PlanWriter } from '../plan/writer';
import type { Opened, Resident } from '../runtime/runtime';
import { keepPins, pinnedPaths, placesOf, protectedPaths, unpinned } from '../setup/shared-pins';
import { enter } from './enter';

interface Open {
  readonly opened: Opened;
  /** Paths pinned while the sandbox runs. */
  readonly places: Set<string>;
}

const origin = 'mounts';
const open = new Map<Resident, Open>();

/**
 * Makes the open sandboxes of this thread pin each other's protected paths from now on: in directories that they share,
 * the others pin the paths that this one protects, and this one pins theirs, whatever the order in which they were
 * opened.
 */
export async function sharePins(resident: Resident, opened: Opened): Promise<void> {
  open.set(resident, { opened, places: new Set() });
  void resident.ended.then(() => open.delete(resident));
  await pinInOthers(resident);
  // Another sandbox may have been opened since.
  await pinPaths(resident, pinnedPaths());
}

/** Pins the paths that a sandbox protects in all other sandboxes. */
export async function pinInOthers(resident: Resident): Promise<void> {
  const paths = protectedPaths(resident.spec);
  if (paths.length > 0) await Promise.all([...open.keys()].map((other) => (other === resident ? undefined : pinPaths(other, paths))));
}

/** Updates the pins after a mount into a running sandbox, in this sandbox and in the others. */
export async function shareMount(resident: Resident, mount: MountSpec): Promise<void> {
  // The new mount covers the pins below its target.
  const known = open.get(resident);
  for (const place of known?.places ?? []) if (place === mount.target || covers(mount, place)) known?.places.delete(place);
  const own = new Set(protectedPaths(resident.spec));
  const others = pinnedPaths().filter((path) => !own.has(path) && existsSync(path));
  await pinInto(resident, placesOf({ root: 'empty', mounts: [mount] }, others));
  const forget = keepPins({ mounts: resident.spec.mounts });
  void resident.ended.then(forget);
  await pinInOthers(resident);
}

async function pinPaths(resident: Resident, paths: readonly string[]): Promise<void> {
  // The sandbox uses the host's mount namespace, whose mounts must not be changed.
  if (!resident.spec.namespaces.mnt) return;
  const wanted = unpinned(resident.spec, resident.context, paths).filter((path) => existsSync(path));
  try {
    await pinInto(resident, placesOf(resident.spec, wanted));
  } catch (error) {
    // Ignored for a sandbox that is ending: its programs can no longer rename anything.
    if (resident.usable) throw error;
  }
}

/** Mounts directories of a running sandbox on themselves, so that no process inside can rename them. */
export async function pinInto(resident: Resident, places: readonly string[]): Promise<void> {
  const known = open.get(resident);
  const missing = known ? [...new Set(places)].filter((place) => !known.places.has(place)) : [];
  if (!known || missing.length === 0) return;
  const plan = new PlanWriter();
  const root = enter(plan, known.opened, origin);
  for (const place of missing) plan.op('maps', origin, 'Pin', root, place);
  await runHost(plan, resident.spec.launcherPath);
  for (const place of missing) known.places.add(place);
}
