import { OptionRangeError } from '../../../dist/base/errors';
import { changePlan, encodePlan, lastOpOf } from '../../../dist/plan/encode';
import { type Argument, noSlot, type PlannedOp, Slot } from '../../../dist/plan/operation';
import { type OpName, ops } from '../../../dist/plan/ops';
import { thrown } from '../../support/host';

const headerSize = 64;
const opSize = 32;

const op = (name: OpName, ...args: readonly Argument[]): PlannedOp => ({ name, origin: 'x', args, optional: 0, mark: undefined });
const word = (plan: Uint8Array, at: number) => Buffer.from(plan).readUInt32LE(at);
const argument = (plan: Uint8Array, index: number, position = 0) => word(plan, headerSize + index * opSize + 4 + position * 4);
const dataAt = (plan: Uint8Array, at: number) => plan.slice(at + 4, at + 4 + word(plan, at));
const textAt = (plan: Uint8Array, at: number) => Buffer.from(dataAt(plan, at)).toString();

describe('operations', () => {
  test('every operation has its own code, and its arguments fit', () => {
    const all = Object.values(ops);
    expect(new Set(all.map(({ code }) => code)).size).toBe(all.length);
    expect(all.every(({ kinds }) => /^[TSON]*$/.test(kinds) && 4 + kinds.length * 4 <= opSize)).toBe(true);
  });

  test('the first word has the code and the number of operations to skip', () => {
    const plan = encodePlan([[{ ...op('Umask', 0o22), optional: 3 }]], 0);
    expect(word(plan, headerSize)).toBe(ops.Umask.code | (3 << 16));
  });

  test('numbers and slots are written as they are', () => {
    const plan = encodePlan([[op('SetNs', new Slot(61), 0x40000000), op('PivotRoot', noSlot)]], 0);
    expect([argument(plan, 0, 0), argument(plan, 0, 1), argument(plan, 1, 0)]).toEqual([61, 0x40000000, 0xffffffff]);
  });

  test('the header has the number of operations by section, and of passed descriptors', () => {
    const plan = encodePlan([[op('Session')], [], [op('Umask', 0), op('Umask', 1)], [], [], []], 7);
    const header = Array.from({ length: 10 }, (_, index) => word(plan, index * 4));
    expect(header).toEqual([0x324e534e, plan.length, 1, 0, 2, 0, 0, 0, 7, headerSize + 3 * opSize]);
  });
});

describe('texts and bytes', () => {
  test.each(['', 'a', 'abc', 'abcd', 'grün €'])('%p has its length in bytes, a NUL, and zeros up to a multiple of four', (text) => {
    const plan = encodePlan([[op('Chdir', text)]], 0);
    const at = argument(plan, 0);
    const size = Buffer.byteLength(text);
    expect([at, word(plan, at), textAt(plan, at)]).toEqual([headerSize + opSize, size, text]);
    const end = at + 4 + size;
    expect(plan.length).toBe(Math.ceil((end + 1) / 4) * 4);
    expect([...plan.subarray(end)].every((byte) => byte === 0)).toBe(true);
  });

  test('bytes are copied, also those that are not text', () => {
    const plan = encodePlan([[op('Seccomp', Uint8Array.of(0, 255, 128), 5)]], 0);
    expect([...dataAt(plan, argument(plan, 0))]).toEqual([0, 255, 128]);
    expect(argument(plan, 0, 1)).toBe(5);
  });

  test('a plan is not changed by the next one, and a shorter plan contains nothing of a longer one', () => {
    const plan = encodePlan([[op('Chdir', 'a long directory name')]], 0);
    const copy = Uint8Array.from(plan);
    const short = () => encodePlan([[op('Chdir', 'b')]], 0);
    const next = short();
    expect(plan).toEqual(copy);
    encodePlan([[op('Chdir', 'x'.repeat(1000))]], 0);
    expect(short()).toEqual(next);
  });

  test('a plan can be far longer than the ones before', () => {
    const data = new Uint8Array(300_000).fill(7);
    const text = 'y'.repeat(200_000);
    const plan = encodePlan([[op('Chdir', 'first'), op('WriteFd', noSlot, data), op('Chdir', text)]], 0);
    expect(textAt(plan, argument(plan, 0))).toBe('first');
    expect(Buffer.from(dataAt(plan, argument(plan, 1, 1))).equals(data)).toBe(true);
    expect(textAt(plan, argument(plan, 2))).toBe(text);
    expect(word(plan, 4)).toBe(plan.length);
  });

  test('a plan of more than 64 MiB is refused', () => {
    const error = thrown(() => encodePlan([[op('WriteFd', noSlot, new Uint8Array(2 ** 26))]], 0));
    expect(error).toBeInstanceOf(OptionRangeError);
    expect(error).toMatchObject({ path: 'mounts', message: expect.stringContaining('67108864 bytes') });
  });

  test('the callback receives every text with its offset, but no bytes and no texts of Exec', () => {
    const chdir = op('Chdir', '/a');
    const write = op('WriteFile', noSlot, '/b', Uint8Array.of(1));
    const seen: unknown[] = [];
    const plan = encodePlan([[chdir], [write, op('Exec', '/bin/true', 'true', 'A=1')]], 0, (from, text, at) => {
      seen.push([from, text, at]);
    });
    expect(seen).toEqual([
      [chdir, '/a', argument(plan, 0) + 4],
      [write, '/b', argument(plan, 1, 1) + 4],
    ]);
  });
});

describe('changes of an encoded plan', () => {
  const lists = [[op('Chdir', '/one')], [], [op('Umask', 0), op('Exec', '/bin/old', 'old', 'A=1')]];

  test('the last operation of a section is found', () => {
    expect(lastOpOf(lists, 0)).toBe(headerSize);
    expect(lastOpOf(lists, 2)).toBe(headerSize + 2 * opSize);
  });

  test('a text is overwritten, and an operation gets other texts', () => {
    const offsets: number[] = [];
    const plan = encodePlan(lists, 0, (_, __, at) => {
      offsets.push(at);
    });
    const copy = Uint8Array.from(plan);
    const at = offsets[0] ?? 0;
    const changed = changePlan(plan, [{ at, text: '/two' }], lastOpOf(lists, 2), ['/bin/new', 'a longer list', 'a longer list']);
    expect(textAt(changed, argument(changed, 0))).toBe('/two');
    expect([0, 1, 2].map((position) => textAt(changed, argument(changed, 2, position)))).toEqual([
      '/bin/new',
      'a longer list',
      'a longer list',
    ]);
    expect(word(changed, 4)).toBe(changed.length);
    expect(plan).toEqual(copy);
  });

  test('without changes the plan stays the same', () => {
    const plan = encodePlan(lists, 3);
    expect(changePlan(plan, [], lastOpOf(lists, 2), [])).toEqual(plan);
  });
});

test('a long ASCII text needs no more space than its bytes', () => {
  const text = 'x'.repeat(30 * 2 ** 20);
  expect(encodePlan([[op('MakeDir', noSlot, text, 0o755)]], 0).length).toBeGreaterThan(text.length);
});
