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
const maxPlan = 2 ** 26;
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
    const encoder = new Encoder(headerSize + count * opSize);
    let at = headerSize;
    for (const list of all) {
      for (const { name, optional, args } of list) {
        encoder.word(at, ops[name].code | (optional << 16));
        for (let index = 0; index < args.length; index++) encoder.word(at + 4 + index * 4, encoder.encode(args[index] ?? 0));
        at += opSize;
      }
    }
    const header = [magic, encoder.end, ...all.map((list) => list.length), this.passed.length, at];
    for (const [index, word] of header.entries()) encoder.word(index * 4, word);
    return encoder.finished();
  }
}

// Large enough for most plans at once.
const firstSize = 32_768;

/** Operations at the front, text behind them; equal texts are stored once. This is on the way of every spawn. */
class Encoder {
  end: number;
  private buffer = Buffer.alloc(firstSize);
  private words = new Uint32Array(this.buffer.buffer, this.buffer.byteOffset, firstSize / 4);
  private readonly known = new Map<string, number>();

  constructor(textStart: number) {
    this.end = textStart;
    this.reserve(0);
  }

  word(at: number, value: number): void {
    this.words[at >> 2] = value;
  }

  encode(argument: Argument): number {
    if (typeof argument === 'number') return argument;
    if (argument instanceof Slot) return argument.index;
    if (typeof argument !== 'string') {
      this.reserve(argument.byteLength);
      this.buffer.set(argument, this.end + 4);
      return this.commit(argument.byteLength);
    }
    const known = this.known.get(argument);
    if (known !== undefined) return known;
    this.reserve(argument.length * 3);
    const at = this.commit(this.buffer.write(argument, this.end + 4));
    this.known.set(argument, at);
    return at;
  }

  finished(): Uint8Array {
    return this.buffer.subarray(0, this.end);
  }

  // length, bytes, NUL, up to the next multiple of four
  private commit(size: number): number {
    const at = this.end;
    this.word(at, size);
    this.end = (at + 4 + size + 1 + 3) & ~3;
    return at;
  }

  private reserve(size: number): void {
    const needed = this.end + size + 16;
    if (needed > maxPlan) throw new OptionRangeError('mounts', `files, arguments and environment together exceed ${maxPlan} bytes`);
    if (needed <= this.buffer.length) return;
    const larger = Buffer.alloc(2 ** Math.ceil(Math.log2(needed + 1)));
    larger.set(this.buffer);
    this.buffer = larger;
    this.words = new Uint32Array(larger.buffer, larger.byteOffset, larger.length / 4);
  }
}
