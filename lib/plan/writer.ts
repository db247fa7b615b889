import { OptionRangeError } from '../errors';
import { type OpName, ops } from './ops';

/** Sections of a plan, in the order of the wire format. */
export const sections = ['host', 'inside', 'program', 'after'] as const;
export type Section = (typeof sections)[number];

/** One operation as a feature wrote it. */
export interface PlannedOp {
  readonly name: OpName;
  /** The option that asked for it: names the culprit when the operation fails. */
  readonly origin: string;
  readonly args: readonly Argument[];
  /** Operations to leave out, this one included, if it fails; 0 if it must not. */
  readonly optional: number;
  readonly hint?: string | undefined;
}

/** A slot of the launcher that holds a descriptor. */
export class Slot {
  constructor(readonly index: number) {}
}

/** The working directory instead of a slot, or no descriptor at all. */
export const noSlot = new Slot(0xffffffff);

export type Argument = number | string | Uint8Array | Slot;

const magic = 0x314e534e;
const headerSize = 32;
const opSize = 32;
const maxSlots = 256;
const maxPassed = 60;

/**
 * Collects the operations of one sandbox. Features write to the sections; `host` is written before the clone,
 * `maps` runs in the same process right after it.
 */
export class PlanWriter {
  readonly ops: Record<Section | 'maps', PlannedOp[]> = { host: [], maps: [], inside: [], program: [], after: [] };
  /** What is passed beside the plan, by slot: a descriptor, or a kind of `stdioKind`. */
  readonly passed: number[] = [];
  /** The sandbox's root folder. */
  readonly root = new Slot(maxPassed);
  /** The folder of a version 2 control group that the clone enters. */
  cgroup?: Slot;
  /** Slots of the program's descriptors, by their number. */
  stdio: readonly Slot[] = [];
  private readonly sharedSlots = new Map<string, Slot>();
  private slots = maxPassed + 1;

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

  /** The finished list of one section, as the launcher counts its steps. */
  section(section: Section): readonly PlannedOp[] {
    return section === 'host' ? [...this.ops.host, ...this.ops.maps] : this.ops[section];
  }

  /** The wire format of src/plan/wire.h. */
  bytes(): Uint8Array {
    const all = sections.map((section) => this.section(section));
    const count = all.reduce((sum, list) => sum + list.length, 0);
    const text = new TextArena(headerSize + count * opSize);
    const encoded = all.flat().map((planned) => planned.args.map((argument) => text.word(argument)));
    const plan = Buffer.alloc(text.end);
    const words = [magic, text.end, ...all.map((list) => list.length), this.passed.length, text.start];
    for (const [index, word] of words.entries()) plan.writeUInt32LE(word, index * 4);
    for (const [index, planned] of all.flat().entries()) {
      const at = headerSize + index * opSize;
      plan.writeUInt16LE(ops[planned.name].code, at);
      plan.writeUInt16LE(planned.optional, at + 2);
      for (const [position, word] of (encoded[index] ?? []).entries()) plan.writeUInt32LE(word, at + 4 + position * 4);
    }
    text.copyTo(plan);
    return plan;
  }
}

/** The text behind the operations; equal texts are stored once. */
class TextArena {
  end: number;
  private readonly parts: { readonly at: number; readonly bytes: Buffer }[] = [];
  private readonly known = new Map<string, number>();

  constructor(readonly start: number) {
    this.end = start;
  }

  word(argument: Argument): number {
    if (typeof argument === 'number') return argument >>> 0;
    if (argument instanceof Slot) return argument.index;
    if (typeof argument !== 'string') return this.add(Buffer.from(argument.buffer, argument.byteOffset, argument.byteLength));
    const known = this.known.get(argument);
    if (known !== undefined) return known;
    const at = this.add(Buffer.from(argument));
    this.known.set(argument, at);
    return at;
  }

  copyTo(plan: Buffer): void {
    for (const { at, bytes } of this.parts) {
      plan.writeUInt32LE(bytes.length, at);
      bytes.copy(plan, at + 4);
    }
  }

  private add(bytes: Buffer): number {
    const at = this.end;
    this.parts.push({ at, bytes });
    // length, bytes, NUL, up to the next multiple of four
    this.end = (at + 4 + bytes.length + 1 + 3) & ~3;
    return at;
  }
}
