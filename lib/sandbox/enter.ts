import { cloneFlags } from '../features/namespaces';
import { pathFolder } from '../native/open-flags';
import { noSlot, type Slot } from '../plan/operation';
import type { PlanWriter } from '../plan/writer';
import type { Opened } from '../runtime/runtime';

/** What a launcher does to act in the user and mount namespace of a sandbox that runs; the slot of the sandbox's root. */
export function enter(plan: PlanWriter, { namespaces }: Opened, origin: string): Slot {
  // Who has rights in that namespace could trace what enters it.
  plan.op('maps', origin, 'Dumpable', 0);
  plan.op('maps', origin, 'SetNs', plan.pass(origin, namespaces.user), cloneFlags.user);
  plan.op('maps', origin, 'SetNs', plan.pass(origin, namespaces.mnt), cloneFlags.mnt);
  plan.op('maps', origin, 'SetIds', 0, 0);
  const root = plan.slot(origin);
  plan.op('maps', origin, 'Open', root, noSlot, '/', pathFolder);
  return root;
}
