import { noSlot } from '../../plan/operation';
import type { PlanWriter } from '../../plan/writer';
import { maxTerminals } from '../counts';
import type { Context } from '../feature';
import { cloneFile, mountAttr, newFs } from './mount-ops';
import { type MountBuild, RootTree } from './tree';

const links = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
] as const;

const shmSize = 64 * 2 ** 20;
const shmInodes = 16_384;

/** Key of the slot with the message queues of the sandbox's ipc namespace. */
export const queuesKey = 'mqueue';
const attachedKey = 'mqueue, attached';

/** Mounts a minimal /dev: the host's harmless character devices, and shared memory of its own. */
export function emitDev({ plan, tree, origin, spec: { terminal }, context }: MountBuild, target: string): void {
  if (tree.isSealed(target)) {
    fill(plan, tree, target, origin, context);
    if (terminal) addTerminals(plan, tree, target, origin, context);
    return;
  }
  const dev = newFs(plan, 'tmpfs', { mode: '755' }, mountAttr.nosuid, origin);
  tree.mount(dev, target, 'dir', origin);
  const own = new RootTree(plan, dev, true);
  fill(plan, own, '', origin, context);
  if (terminal) addTerminals(plan, own, '', origin, context);
  plan.op('inside', origin, 'SetAttr', dev, mountAttr.readonly, 0, 0, 0, noSlot);
}

// A new devpts instance, which contains none of the host's terminals.
function addTerminals(plan: PlanWriter, tree: RootTree, directory: string, origin: string, { host }: Context): void {
  const options = { newinstance: '', ptmxmode: '0666', mode: '620', max: `${maxTerminals(host.counts)}` };
  tree.mount(newFs(plan, 'devpts', options, mountAttr.nosuid | mountAttr.noexec, origin), `${directory}/pts`, 'dir', origin);
  tree.symlink(`${directory}/ptmx`, 'pts/ptmx', origin);
}

function fill(plan: PlanWriter, tree: RootTree, directory: string, origin: string, context: Context): void {
  for (const name of context.host.devices)
    tree.mount(cloneFile(plan, context, `/dev/${name}`, origin), `${directory}/${name}`, 'file', origin);
  for (const [name, to] of links) tree.symlink(`${directory}/${name}`, to, origin);
  const shm = newFs(
    plan,
    'tmpfs',
    { size: `${shmSize}`, nr_inodes: `${shmInodes}`, mode: '1777' },
    mountAttr.nosuid | mountAttr.nodev,
    origin,
  );
  // The queues are attached where the next mount hides them: closing a mount that is attached nowhere blocks until the
  // kernel has torn it down.
  const queues = plan.known(queuesKey);
  if (queues && !plan.known(attachedKey))
    tree.mount(
      plan.shared(attachedKey, () => queues),
      `${directory}/shm`,
      'dir',
      origin,
    );
  tree.mount(shm, `${directory}/shm`, 'dir', origin);
}
