import { isBytes } from '../../base/parse';
import { pathDirectory } from '../../native/open-flags';
import { type Mark, noSlot, type PlannedOp, Slot } from '../../plan/operation';
import type { PlanWriter, RootRecipe } from '../../plan/writer';

/** The recipe of a shared root, and the operations that remain for init when the recipe has been carried out. */
export interface SplitRoot {
  readonly recipe: RootRecipe;
  readonly own: readonly PlannedOp[];
}

const read = 0o4;
const readAndSearch = 0o5;

// A shared root belongs to root, so the permissions for others apply to the program; they must equal the owner's.
// Content from a caller is never kept in it.
function isForAll({ name, origin, args: [, , third, fourth] }: PlannedOp): boolean {
  if (name === 'Symlink') return true;
  const mode = Number(name === 'MakeDir' ? third : fourth);
  const needed = name === 'MakeDir' ? readAndSearch : read;
  const isSame = ((mode >> 6) & readAndSearch) === (mode & readAndSearch) && (mode & needed) === needed;
  const isEmpty = name === 'MakeDir' || (isBytes(third) && third.length === 0);
  return isSame && (isEmpty || origin === 'root');
}

/**
 * Splits the operations by which init builds its root. Returns undefined if parts that only this sandbox has would have
 * to come first, or if something is written to its root that no other sandbox may see.
 */
export function splitRoot(plan: PlanWriter, inside: readonly PlannedOp[]): SplitRoot | undefined {
  const { root } = plan;
  const sources = systemBinds(plan);
  const build: PlannedOp[] = [];
  const own: PlannedOp[] = [];
  const covered: string[] = [];
  let optional = 0;
  for (const op of inside) {
    optional = Math.max(optional - 1, op.optional);
    const place = placeOf(op, root, sources, covered);
    // Optional operations are left out together, so they must stay together.
    if (place === 'nowhere' || (place === 'build' && optional > 0)) return undefined;
    if (place === 'build') build.push(op);
    else own.push(op);
    if (op.mark === 'root') own.push({ ...op, name: 'Open', args: [root, noSlot, '/', pathDirectory] });
    if (place === 'own' && op.name === 'MoveMount' && op.args[1] === root) covered.push(String(op.args[2]));
  }
  // A root that is not sealed in the end is written to, or existed before.
  if (!rootMarks.every((wanted) => build.some(({ mark }) => mark === wanted))) return undefined;
  const made = [...sources.values()].flat();
  return { recipe: { key: keyOf([...made, ...build]), sources: made, build }, own };
}

// All of a new root's own operations.
const rootMarks: readonly (Mark | undefined)[] = ['root', 'attach', 'seal'];

type Place = 'build' | 'own' | 'nowhere';

function placeOf(op: PlannedOp, root: Slot, sources: ReadonlyMap<Slot, unknown>, covered: readonly string[]): Place {
  const [first, second, third] = op.args;
  const { name, mark } = op;
  if (mark === 'stage') return 'nowhere';
  if (mark === 'hide' || rootMarks.includes(mark)) return 'build';
  const mounts = name === 'MoveMount' && first instanceof Slot && sources.has(first);
  const makes = first === root && (name === 'MakeDir' || name === 'MakeFile' || name === 'Symlink');
  if (!mounts && !makes) return 'own';
  const target = String(mounts ? third : second);
  const isBelow = covered.some((path) => target === path || target.startsWith(`${path}/`));
  const covers = covered.some((path) => path.startsWith(`${target}/`));
  if (mounts) return isBelow || covers ? 'nowhere' : 'build';
  if (isBelow) return 'own';
  return isForAll(op) ? 'build' : 'nowhere';
}

// Operations that clone directories of the system, by slot.
function systemBinds({ ops: { host } }: PlanWriter): ReadonlyMap<Slot, readonly PlannedOp[]> {
  const found = new Map<Slot, PlannedOp[]>();
  for (const op of host) {
    const [slot] = op.args;
    if (op.mark === 'system' && slot instanceof Slot) found.set(slot, [...(found.get(slot) ?? []), op]);
  }
  return found;
}

// Slots are numbered by first use: their real numbers depend on the other contents of a plan.
function keyOf(ops: readonly PlannedOp[]): string {
  const slots = new Map<Slot, number>();
  const text = (argument: PlannedOp['args'][number]) => {
    if (argument instanceof Slot) {
      if (!slots.has(argument)) slots.set(argument, slots.size);
      return slots.get(argument);
    }
    return isBytes(argument) ? Buffer.from(argument).toString('base64') : argument;
  };
  return JSON.stringify(ops.map(({ name, args }) => [name, ...args.map(text)]));
}
