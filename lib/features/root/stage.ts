import { noSlot, type Slot } from '../../plan/operation';
import type { PlanWriter } from '../../plan/writer';
import { callNumber } from '../hardening';
import { cloneTree, makeFs, mountAttr } from './mount-ops';

/** A stage for what belongs to one sandbox, and one for what a shared root may contain. */
const kinds = ['own', 'hide'] as const;
type Kind = (typeof kinds)[number];

const keyOf = (kind: Kind): string => `${kind} stage`;

/**
 * Returns the slot of a tmpfs outside the new root. Layers of an overlay must be attached somewhere, and before Linux
 * 6.15 a file can only be cloned from an attached file system. If the sandbox has a new root, the stage goes away with
 * the old one, or stays mounted below the new one, where no path leads to it.
 */
export const stageOf = (plan: PlanWriter, kind: Kind): Slot => plan.shared(keyOf(kind), () => plan.slot('root'));

/** Creates a file on a stage and returns a read-only clone of it that can be mounted on another file. */
export function stagedFile(plan: PlanWriter, kind: Kind, data: string | Uint8Array, mode: number, origin: string): Slot {
  const stage = stageOf(plan, kind);
  const file = plan.slot(origin);
  // Numbered within the stage: a shared root is found by its operations.
  const path = `/file${plan.ops.inside.filter(({ name, args }) => name === 'MakeFile' && args[0] === stage).length}`;
  plan.op('inside', origin, 'MakeFile', stage, path, data, mode);
  plan.op('inside', origin, 'OpenTree', file, stage, path, cloneTree);
  plan.op('inside', origin, 'SetAttr', file, mountAttr.readonly, 0, 0, 0, noSlot);
  return file;
}

/**
 * Mounts the stages that are used. They lie below the new root, so the operations are inserted at `at`, before it is
 * mounted.
 */
export function openStages(plan: PlanWriter, at: number): void {
  const rest = plan.ops.inside.splice(at);
  for (const kind of kinds) {
    const slot = plan.known(keyOf(kind));
    if (!slot) continue;
    const open = () => {
      makeFs(plan, { type: 'tmpfs', options: { mode: '700' }, attributes: mountAttr.nosuid | mountAttr.nodev, origin: 'root', slot });
      plan.op('inside', 'root', 'MoveMount', slot, noSlot, '/');
    };
    plan.marked(kind === 'own' ? 'stage' : 'hide', open);
  }
  plan.ops.inside.push(...rest);
}

const detach = 2; // MNT_DETACH

/** Unmounts the stage again, for a sandbox that keeps the host's root. `/..` resolves to the mount on top of `/`. */
export function closeStage(plan: PlanWriter): void {
  if (plan.known(keyOf('own'))) plan.op('inside', 'root', 'CallWith', callNumber('umount2'), 0, '/..', detach, 0, 0, 0);
}
