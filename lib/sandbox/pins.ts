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
  /** What was pinned in it while it runs. */
  readonly places: Set<string>;
}

const origin = 'mounts';
const open = new Map<Resident, Open>();

/**
 * From now on the sandboxes of this thread pin what this one protects in directories that they share, and it pins what they protect, in whichever
 * order they were opened.
 */
export async function sharePins(resident: Resident, opened: Opened): Promise<void> {
  open.set(resident, { opened, places: new Set() });
  void resident.ended.then(() => open.delete(resident));
  await pinInOthers(resident);
  // Another may have been opened in the meantime.
  await pinPaths(resident, pinnedPaths());
}

/** Pins in the others what a sandbox protects. */
export async function pinInOthers(resident: Resident): Promise<void> {
  const paths = protectedPaths(resident.spec);
  if (paths.length > 0) await Promise.all([...open.keys()].map((other) => (other === resident ? undefined : pinPaths(other, paths))));
}

/** Lets the others know of what was mounted into a sandbox while it runs. */
export async function shareMount(resident: Resident, mount: MountSpec): Promise<void> {
  // What was pinned there is covered now.
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
  // The host's own mounts are nobody's to change.
  if (!resident.spec.namespaces.mnt) return;
  const wanted = unpinned(resident.spec, resident.scene, paths).filter((path) => existsSync(path));
  try {
    await pinInto(resident, placesOf(resident.spec, wanted));
  } catch (error) {
    // One that is ending renames nothing any more.
    if (resident.usable) throw error;
  }
}

/** Mounts directories of a sandbox that runs on themselves, so that nobody inside can rename them. */
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
