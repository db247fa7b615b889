import { OptionRangeError } from '../base/errors';
import { bare } from '../base/parse';
import { encodePlan } from './encode';
import { type Argument, type Mark, type PlannedOp, type Section, Slot, sections } from './operation';
import type { OpName } from './ops';

/**
 * The part of a sandbox's root that is the same for all sandboxes with the same options: the read-only root itself and
 * the bind mounts of the system. Holds the operations that create it, and a key that identifies it.
 */
export interface RootRecipe {
  readonly key: string;
  /** Operations that copy mounts of the host. */
  readonly sources: readonly PlannedOp[];
  readonly build: readonly PlannedOp[];
}

/**
 * Passed descriptors that differ between sandboxes with the same plan: the lock of the host id, an existing network
 * namespace, a shared root.
 */
export type Varying = 'lock' | 'net' | 'root';

/** The plan that a launcher is started with, and the data needed to interpret its records. */
export interface LaunchPlan {
  /** Descriptors that are passed with the plan, by slot: a descriptor, or a kind of `stdioKind`. */
  readonly passed: readonly number[];
  /** Slots of the program's descriptors, by their number. */
  readonly stdio: readonly Slot[];
  bytes(): Uint8Array;
  section(section: Section): readonly PlannedOp[];
  lastWord(step: number): string;
}

const maxSlots = 2048;
/** The last slot, for a plan whose other slots belong to another plan. */
export const lastSlot = new Slot(maxSlots - 1);
const maxPassed = 60;

/**
 * Collects the operations of one sandbox, or of one further program in it. Features add operations to sections: `host`
 * runs in the keeper before clone(2), `maps` in the keeper right after it, `inside` in init, `beside` in the process
 * that becomes the program while init is still working, `program` in the same process when init is done, `end` in the
 * keeper before it kills the sandbox, `after` when all its processes are dead.
 */
export class PlanWriter implements LaunchPlan {
  readonly ops: Record<Section | 'maps', PlannedOp[]> = { host: [], maps: [], inside: [], beside: [], program: [], end: [], after: [] };
  /** Descriptors that are passed with the plan, by slot: a descriptor, or a kind of `stdioKind`. */
  readonly passed: number[] = [];
  /** The sandbox's root directory. */
  readonly root = new Slot(maxPassed);
  /** The directory of a version 2 cgroup that the cloned process enters. */
  cgroup?: Slot;
  /** Slots of the program's descriptors, by their number. */
  stdio: readonly Slot[] = [];
  /** The recipe of the root, if other sandboxes can share it. */
  recipe?: RootRecipe;
  /** Indexes in `passed` of the descriptors that differ from sandbox to sandbox. */
  readonly places: Partial<Record<Varying, number>> = bare({});
  private readonly sharedSlots = new Map<string, Slot>();
  private slots: number;
  private mark: Mark | undefined;

  /** `running`: the plan of the running sandbox that a further program is for. Its slots in use are not reused. */
  constructor(readonly running?: PlanWriter) {
    this.slots = running?.slots ?? maxPassed + 1;
  }

  /** Adds an operation whose failure ends the set-up. */
  op(section: Section | 'maps', origin: string, name: OpName, ...args: readonly Argument[]): void {
    this.ops[section].push({ name, origin, args, optional: 0, mark: this.mark });
  }

  /** Adds operations with `write`. If the first of them fails, all are skipped and reported as dropped. */
  optional(section: Section, write: () => void): void {
    const list = this.ops[section];
    const start = list.length;
    write();
    const first = list[start];
    if (first) list[start] = { ...first, optional: list.length - start };
  }

  /** Adds operations with `write` and sets a mark on each of them. */
  marked<T>(mark: Mark, write: () => T): T {
    const outer = this.mark;
    this.mark = mark;
    const result = write();
    this.mark = outer;
    return result;
  }

  /** Returns the slot that another feature of this sandbox, or of the running one, has created for `key`. */
  known(key: string): Slot | undefined {
    return this.sharedSlots.get(key) ?? this.running?.known(key);
  }

  /** Returns the slot that several features share under `key`. The first caller creates it. */
  shared(key: string, make: () => Slot): Slot {
    const found = this.sharedSlots.get(key) ?? make();
    this.sharedSlots.set(key, found);
    return found;
  }

  /** Returns a free slot for a descriptor that the launcher opens. */
  slot(origin: string): Slot {
    if (this.slots === maxSlots) throw new OptionRangeError(origin, `a sandbox can have at most ${maxSlots - maxPassed - 1} mounts`);
    return new Slot(this.slots++);
  }

  /** Passes a descriptor, or a pipe end of the given kind, to the launcher. */
  pass(origin: string, fd: number): Slot {
    if (this.passed.length === maxPassed) throw new OptionRangeError(origin, `at most ${maxPassed} descriptors can be passed`);
    return new Slot(this.passed.push(fd) - 1);
  }

  /** Passes a descriptor that differs in another sandbox with the same plan. */
  passVarying(name: Varying, origin: string, fd: number): Slot {
    const slot = this.pass(origin, fd);
    this.places[name] = slot.index;
    return slot;
  }

  /** Returns the operations of one section, in the order in which the launcher counts its steps. */
  section(section: Section): readonly PlannedOp[] {
    return section === 'host' ? [...this.ops.host, ...this.ops.maps] : this.ops[section];
  }

  /** Returns the name of the file that a ReadFile operation of `after` reads. */
  lastWord(step: number): string {
    const path = String(this.ops.after[step]?.args[0] ?? '');
    return path.slice(path.lastIndexOf('/') + 1);
  }

  /**
   * Encodes the plan in the wire format of src/plan/wire.h. `onText` receives every text argument, except those of
   * Exec, and its offset.
   */
  bytes(onText?: (op: PlannedOp, text: string, at: number) => void): Uint8Array {
    return encodePlan(
      sections.map((section) => this.section(section)),
      this.passed.length,
      onText,
    );
  }
}
