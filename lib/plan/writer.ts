import { OptionRangeError } from '../base/errors';
import { bare } from '../base/parse';
import { encodePlan } from './encode';
import { type Argument, type PlannedOp, type Section, Slot, sections } from './operation';
import type { OpName } from './ops';

/**
 * What of a sandbox's root is the same for every other one with the same options: the read-only root itself and what is bound from the
 * system. Operations that make it, and how it is known again.
 */
export interface RootRecipe {
  readonly key: string;
  /** Copies of what is mounted on the host. */
  readonly sources: readonly PlannedOp[];
  readonly build: readonly PlannedOp[];
}

/** What is passed by another number each time: the lock of the host id, a network namespace that was there, a root that others share. */
export type Varying = 'lock' | 'net' | 'root';

/** What a launcher is started with, and what its records are understood by. */
export interface LaunchPlan {
  /** What is passed beside the plan, by slot: a descriptor, or a kind of `stdioKind`. */
  readonly passed: readonly number[];
  /** Slots of the program's descriptors, by their number. */
  readonly stdio: readonly Slot[];
  bytes(): Uint8Array;
  section(section: Section): readonly PlannedOp[];
  lastWord(step: number): string;
}

const maxSlots = 2048;
/** For a plan whose other slots belong to another one: taken last of all. */
export const lastSlot = new Slot(maxSlots - 1);
const maxPassed = 60;

/**
 * Collects the operations of one sandbox, or of one more program in it. Features write to the sections: `host` runs in
 * the keeper before the clone, `maps` in the same process right after it, `inside` in init, `beside` in the process that
 * becomes the program, while init is still at work, `program` in the same process when init is done, `end` in
 * the keeper before it kills, `after` when all is dead.
 */
export class PlanWriter implements LaunchPlan {
  readonly ops: Record<Section | 'maps', PlannedOp[]> = { host: [], maps: [], inside: [], beside: [], program: [], end: [], after: [] };
  /** What is passed beside the plan, by slot: a descriptor, or a kind of `stdioKind`. */
  readonly passed: number[] = [];
  /** The sandbox's root directory. */
  readonly root = new Slot(maxPassed);
  /** The directory of a version 2 cgroup that the clone enters. */
  cgroup?: Slot;
  /** Slots of the program's descriptors, by their number. */
  stdio: readonly Slot[] = [];
  /** How its root could be made for others as well. */
  recipe?: RootRecipe;
  /** Where among what is passed those are that differ from sandbox to sandbox. */
  readonly places: Partial<Record<Varying, number>> = bare({});
  private readonly sharedSlots = new Map<string, Slot>();
  private slots: number;

  /** `running`: the plan of the sandbox that a further program is for; its held slots are left alone. */
  constructor(readonly running?: PlanWriter) {
    this.slots = running?.slots ?? maxPassed + 1;
  }

  /** Adds an operation that ends the set-up if it fails. */
  op(section: Section | 'maps', origin: string, name: OpName, ...args: readonly Argument[]): void {
    this.ops[section].push({ name, origin, args, optional: 0 });
  }

  /** What `write` adds to the section is left out, and reported as dropped, if the first of it fails. */
  optional(section: Section, write: () => void): void {
    const list = this.ops[section];
    const start = list.length;
    write();
    const first = list[start];
    if (first) list[start] = { ...first, optional: list.length - start };
  }

  /** The slot that another feature of the running sandbox, or of this one, has made. */
  known(key: string): Slot | undefined {
    return this.sharedSlots.get(key) ?? this.running?.known(key);
  }

  /** A slot that several features share: made by the first who asks. */
  shared(key: string, make: () => Slot): Slot {
    const found = this.sharedSlots.get(key) ?? make();
    this.sharedSlots.set(key, found);
    return found;
  }

  /** A free slot for a descriptor that the launcher opens. */
  slot(origin: string): Slot {
    if (this.slots === maxSlots) throw new OptionRangeError(origin, `one sandbox holds at most ${maxSlots - maxPassed} mounts`);
    return new Slot(this.slots++);
  }

  /** Passes a descriptor, or a pipe end of the given kind, to the launcher. */
  pass(origin: string, fd: number): Slot {
    if (this.passed.length === maxPassed) throw new OptionRangeError(origin, `at most ${maxPassed} descriptors can be passed`);
    return new Slot(this.passed.push(fd) - 1);
  }

  /** The same, of what another sandbox with the same plan has another one. */
  passVarying(name: Varying, origin: string, fd: number): Slot {
    const slot = this.pass(origin, fd);
    this.places[name] = slot.index;
    return slot;
  }

  /** The finished list of one section, as the launcher counts its steps. */
  section(section: Section): readonly PlannedOp[] {
    return section === 'host' ? [...this.ops.host, ...this.ops.maps] : this.ops[section];
  }

  /** Name of the file that a ReadFile of `after` reads. */
  lastWord(step: number): string {
    const path = String(this.ops.after[step]?.args[0] ?? '');
    return path.slice(path.lastIndexOf('/') + 1);
  }

  /** The wire format of src/plan/wire.h. `onText` receives every text that operations before `exec` refer to, and its offset. */
  bytes(onText?: (op: PlannedOp, text: string, at: number) => void): Uint8Array {
    return encodePlan(
      sections.map((section) => this.section(section)),
      this.passed.length,
      onText,
    );
  }
}
