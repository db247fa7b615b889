import { stdioKind } from '../native';
import { noSlot, type PlannedOp, type Slot } from '../plan/writer';
import type { Scene, Step } from './feature';
import type { Spec } from './index';
import { isBeside } from './network';

// None of them reads a path of the host.
const pathless = [
  ...['Dumpable', 'WriteFd', 'SetGroups', 'SetIds', 'DeathSignal', 'Unshare', 'StartProgram', 'LockedUserNs', 'Hold', 'Propagation'],
  ...['NewFs', 'MoveMount', 'MakeDir', 'MakeFile', 'Symlink', 'SetAttr', 'PivotRoot'],
];

const proc = '/proc';
const isBelowProc = (path: unknown): boolean => path === proc || String(path).startsWith(`${proc}/`);

/** The operation without the host's root: what reads its /proc by path gets a procfs to start from. Undefined for what reads anything else. */
function withoutHost(op: PlannedOp, procfs: Slot): PlannedOp | undefined {
  const [first = 0, second = 0, ...rest] = op.args;
  const below = (path: unknown) => String(path).slice(proc.length + 1) || '.';
  if (pathless.includes(op.name)) return op;
  if (op.name === 'WriteFile' && first === noSlot && isBelowProc(second)) return { ...op, args: [procfs, below(second), ...rest] };
  const [path = '', ...more] = rest;
  if (op.name === 'Open' && second === noSlot && isBelowProc(path)) return { ...op, args: [first, procfs, below(path), ...more] };
  return undefined;
}

// The empty namespace has one, or the kernel would refuse it: where the sandbox is to have none it must not be there either.
const mountsProc = ({ name, args: [, type] }: PlannedOp): boolean => name === 'NewFs' && type === 'proc';

const mayStartEmpty = ({ namespaces }: Spec, { emptyMounts, hostId }: Scene): boolean =>
  emptyMounts === true && hostId !== undefined && namespaces.user && namespaces.mnt;

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
    if (!pivot || !cloning || !mayStartEmpty(spec, scene)) return;
    const build = inside.slice(0, last);
    if (!build.some(mountsProc) || !build.every((op) => withoutHost(op, noSlot))) return;
    const [mounts, procfs] = [plan.pass('root', stdioKind.emptyMounts), plan.pass('root', stdioKind.procfs)];
    for (let index = 0; index < last; index++) inside[index] = withoutHost(inside[index] ?? pivot, procfs) ?? pivot;
    maps[clone] = { ...cloning, args: [...cloning.args.slice(0, 2), mounts, procfs] };
    inside[last] = { ...pivot, name: 'EnterRoot', args: [] };
    // What is forked before has a root of its own to leave.
    if (isBeside(spec, scene)) plan.ops.program.unshift({ ...pivot, name: 'EnterRoot', args: [] });
  },
};
