import { OptionRangeError } from '../base/errors';
import { type PlannedOp, Slot } from './operation';
import { ops } from './ops';

const magic = 0x324e534e;
const headerSize = 64;
const opSize = 32;
const maxPlan = 2 ** 26;
const sizeWord = 1;

// Every spawn encodes a plan, so one buffer is reused for all of them. No data is kept in it from one plan to the next.
const longText = 4096;
let scratch = Buffer.allocUnsafeSlow(32_768);
let words = new Uint32Array(scratch.buffer);

/** Encodes a plan in the wire format of src/plan/wire.h: header, operations section by section, then the texts. */
export function encodePlan(
  lists: readonly (readonly PlannedOp[])[],
  passed: number,
  onText?: (op: PlannedOp, text: string, at: number) => void,
): Uint8Array {
  const count = lists.reduce((sum, list) => sum + list.length, 0);
  const encoder = new Encoder(headerSize + count * opSize);
  let at = headerSize;
  for (const list of lists) {
    for (const op of list) {
      const { name, optional, args } = op;
      encoder.word(at, ops[name].code | (optional << 16));
      for (let index = 0; index < args.length; index++) {
        const argument = args[index] ?? 0;
        const word = encoder.encode(argument);
        encoder.word(at + 4 + index * 4, word);
        if (onText && typeof argument === 'string' && name !== 'Exec') onText(op, argument, word + 4);
      }
      at += opSize;
    }
  }
  const header = [magic, encoder.end, ...lists.map((list) => list.length), passed, at, 0, 0, 0, 0, 0, 0];
  for (let index = 0; index < header.length; index++) encoder.word(index * 4, header[index] ?? 0);
  return encoder.finished();
}

/**
 * Returns a copy of an encoded plan with other texts. `changes` overwrite texts of the same length; the operation at
 * `opAt` gets new texts, which are appended.
 */
export function changePlan(
  plan: Uint8Array,
  changes: readonly { readonly at: number; readonly text: string }[],
  opAt: number,
  texts: readonly string[],
): Uint8Array {
  const encoder = new Encoder(plan.length);
  scratch.set(plan);
  for (const { at, text } of changes) scratch.write(text, at, 'latin1');
  for (let index = 0; index < texts.length; index++) encoder.word(opAt + 4 + index * 4, encoder.encode(texts[index] ?? ''));
  encoder.word(sizeWord * 4, encoder.end);
  return encoder.finished();
}

/** Returns the offset of the last operation of a section in an encoded plan. */
export function lastOpOf(lists: readonly (readonly PlannedOp[])[], section: number): number {
  const before = lists.slice(0, section + 1).reduce((sum, list) => sum + list.length, 0);
  return headerSize + (before - 1) * opSize;
}

/** Encodes into the shared buffer. Equal texts are stored once. */
class Encoder {
  private readonly known = new Map<string, number>();

  constructor(public end: number) {
    this.reserve(0);
  }

  word(at: number, value: number): void {
    words[at >> 2] = value;
  }

  encode(argument: number | string | Uint8Array | Slot): number {
    if (typeof argument === 'number') return argument;
    if (argument instanceof Slot) return argument.index;
    if (typeof argument !== 'string') {
      this.reserve(argument.byteLength);
      scratch.set(argument, this.end + 4);
      return this.commit(argument.byteLength);
    }
    const known = this.known.get(argument);
    if (known !== undefined) return known;
    // Three bytes per UTF-16 unit at most; only a long text is measured.
    this.reserve(argument.length < longText ? argument.length * 3 : Buffer.byteLength(argument));
    const at = this.commit(scratch.write(argument, this.end + 4));
    this.known.set(argument, at);
    return at;
  }

  /** Returns a copy, because the next plan is written to the same buffer. */
  finished(): Uint8Array {
    return new Uint8Array(scratch.subarray(0, this.end));
  }

  // The length, the bytes, a NUL, and padding to a multiple of four.
  private commit(size: number): number {
    const at = this.end;
    this.word(at, size);
    this.end = (at + 4 + size + 1 + 3) & ~3;
    scratch.fill(0, at + 4 + size, this.end);
    return at;
  }

  private reserve(size: number): void {
    const needed = this.end + size + 16;
    if (needed > maxPlan) throw new OptionRangeError('mounts', `files, arguments and environment together exceed ${maxPlan} bytes`);
    if (needed <= scratch.length) return;
    const larger = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(needed + 1)));
    larger.set(scratch);
    scratch = larger;
    words = new Uint32Array(larger.buffer);
  }
}
