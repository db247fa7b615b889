import { stdioKind } from '../../native/addon';
import { noSlot, type PlannedOp, type Slot } from '../../plan/operation';
import type { PlanWriter } from '../../plan/writer';
import type { Context, Step } from '../feature';
import { isBeside } from '../network-kind';
import type { Spec } from '../spec';
import { splitRoot } from './shared';

// Operations that read no path of the host.
const pathless = [
  ...['Dumpable', 'WriteFd', 'SetGroups', 'SetIds', 'DeathSignal', 'Unshare', 'StartProgram', 'LockedUserNs', 'Hold', 'Propagation'],
  ...['NewFs', 'MoveMount', 'MakeDir', 'MakeFile', 'Symlink', 'SetAttr', 'Pin', 'PivotRoot'],
];

const proc = '/proc';
const isBelowProc = (path: unknown): boolean => path === proc || String(path).startsWith(`${proc}/`);

/**
 * Returns the operation in a form that does not need the host's root: paths in its /proc are resolved from a procfs
 * descriptor. Undefined if the operation reads any other path of the host.
 */
function withoutHost(op: PlannedOp, procfs: Slot): PlannedOp | undefined {
  const [first = 0, second = 0, ...rest] = op.args;
  const below = (path: unknown) => String(path).slice(proc.length + 1) || '.';
  if (pathless.includes(op.name)) return op;
  if (op.name === 'WriteFile' && first === noSlot && isBelowProc(second)) return { ...op, args: [procfs, below(second), ...rest] };
  if (op.name === 'OpenTree' && second !== noSlot) return op;
  const [path = '', ...more] = rest;
  if (op.name === 'Open' && second === noSlot && isBelowProc(path)) return { ...op, args: [first, procfs, below(path), ...more] };
  return undefined;
}

// The empty namespace contains a procfs, or the kernel would refuse a new one. A sandbox without /proc must not contain
// it either.
const mountsProc = ({ mark }: PlannedOp): boolean => mark === 'procfs';

const mayStartEmpty = ({ namespaces }: Spec, { emptyMounts, hostId }: Context): boolean =>
  emptyMounts === true && hostId !== undefined && namespaces.user && namespaces.mnt;

// Root inside could see that a shared root belongs to another user, and a program with rights over its mounts could see
// that they are locked.
const mayShare = ({ user, nestedUserNamespaces }: Spec): boolean => user.ids === 'one' && user.inner && !nestedUserNamespaces;

/**
 * Starts init in a copy of an empty mount namespace instead of the host's, if root runs nsjs and init needs nothing of
 * the host from then on. Then there is no old root to detach: the cost of pivot_root(2) and umount2(2) grows with the
 * number of processes on the machine. If the root has already been built for other sandboxes, the namespace is a copy
 * of that one. This step is the last because it changes operations that the others have written.
 */
export const ownMounts: Step = {
  emit(plan, spec, context) {
    const { inside } = plan.ops;
    const last = inside.findIndex(({ mark }) => mark === 'pivot');
    const pivot = inside[last];
    if (!pivot || !mayStartEmpty(spec, context)) return;
    const build = inside.slice(0, last);
    if (!build.some(mountsProc) || !build.every((op) => withoutHost(op, noSlot))) return;
    const rest = inside.slice(last + 1);
    const split = mayShare(spec) ? splitRoot(plan, build) : undefined;
    if (split) plan.recipe = split.recipe;
    const shared = split && context.sharedRoot?.(split.recipe);
    const mounts = shared === undefined ? plan.pass('root', stdioKind.emptyMounts) : plan.passVarying('root', 'root', shared);
    const procfs = plan.pass('root', stdioKind.procfs);
    startFrom(plan, mounts, procfs);
    const adapt = (ops: readonly PlannedOp[]) => ops.map((op) => withoutHost(op, procfs) ?? op);
    if (split && shared !== undefined) {
      plan.ops.inside = [...adapt(split.own), ...rest];
      plan.ops.host = plan.ops.host.filter((op) => !split.recipe.sources.includes(op));
      return;
    }
    const enter: PlannedOp = { ...pivot, name: 'EnterRoot', args: [] };
    plan.ops.inside = [...adapt(build), enter, ...rest];
    // The program's process was forked earlier, so it has to enter the root itself.
    if (isBeside(spec, context)) plan.ops.program.unshift(enter);
  },
};

function startFrom({ ops: { maps } }: PlanWriter, mounts: Slot, procfs: Slot): void {
  const at = maps.findIndex(({ mark }) => mark === 'clone');
  const clone = maps[at];
  if (clone) maps[at] = { ...clone, args: [...clone.args.slice(0, 2), mounts, procfs] };
}
