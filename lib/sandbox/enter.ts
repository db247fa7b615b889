import { cloneFlags } from '../features/namespaces';
import { pathDirectory } from '../native/open-flags';
import { noSlot, type Slot } from '../plan/operation';
import type { PlanWriter } from '../plan/writer';
import type { Opened } from '../runtime/runtime';

/**
 * Plans operations by which a launcher enters the user and mount namespaces of a running sandbox. Returns the slot of
 * the sandbox's root directory.
 */
export function enter(plan: PlanWriter, { namespaces }: Opened, origin: string): Slot {
  // Otherwise processes with capabilities in that user namespace could trace the launcher when it enters.
  plan.op('maps', origin, 'Dumpable', 0);
  plan.op('maps', origin, 'SetNs', plan.pass(origin, namespaces.user), cloneFlags.user);
  plan.op('maps', origin, 'SetNs', plan.pass(origin, namespaces.mnt), cloneFlags.mnt);
  plan.op('maps', origin, 'SetIds', 0, 0);
  const root = plan.slot(origin);
  plan.op('maps', origin, 'Open', root, noSlot, '/', pathDirectory);
  return root;
}
