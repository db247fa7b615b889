import { stdioKind } from '../native';
import { noSlot, type PlannedOp } from '../plan/writer';
import type { Scene, Step } from './feature';
import type { Spec } from './index';
import { isBeside } from './network';

// None of them reads a path of the host.
const pathless = [
  ...['Dumpable', 'WriteFd', 'SetGroups', 'SetIds', 'DeathSignal', 'Unshare', 'StartProgram', 'LockedUserNs', 'Hold', 'Propagation'],
  ...['NewFs', 'MoveMount', 'MakeDir', 'MakeFile', 'Symlink', 'SetAttr', 'PivotRoot'],
];

// /proc is there.
const needsNoHost = ({ name, args: [first, second] }: PlannedOp): boolean =>
  pathless.includes(name) || (name === 'WriteFile' && first === noSlot && String(second).startsWith('/proc/'));

const mayStartEmpty = ({ namespaces, nestedUserNamespaces }: Spec, { emptyMounts, hostId }: Scene): boolean =>
  // Who may mount a procfs of its own is granted it for one that is there.
  emptyMounts === true && hostId !== undefined && namespaces.user && namespaces.mnt && !nestedUserNamespaces;

/**
 * Run by root, where init needs nothing of the host once it is there, its mount namespace is no copy of the host's but of one that is empty.
 * Then there is no old root to take away: what pivot_root(2) and umount2(2) cost grows with the processes of the machine. The last step: it
 * changes what the others have written.
 */
export const ownMounts: Step = {
  emit(plan, spec, scene) {
    const { inside, maps } = plan.ops;
    const last = inside.findIndex(({ name }) => name === 'PivotRoot');
    const clone = maps.findIndex(({ name }) => name === 'Clone');
    const [pivot, cloning] = [inside[last], maps[clone]];
    if (!pivot || !cloning || !mayStartEmpty(spec, scene) || !inside.slice(0, last).every(needsNoHost)) return;
    maps[clone] = { ...cloning, args: [...cloning.args.slice(0, -1), plan.pass('root', stdioKind.emptyMounts)] };
    inside[last] = { ...pivot, name: 'EnterRoot', args: [] };
    // What is forked before has a root of its own to leave.
    if (isBeside(spec, scene)) plan.ops.program.unshift({ ...pivot, name: 'EnterRoot', args: [] });
  },
};
