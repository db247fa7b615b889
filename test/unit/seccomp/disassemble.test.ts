// Filters as text.
import { encode, opcode } from '../../../dist/seccomp/bpf';
import { compile, returnValue } from '../../../dist/seccomp/compile';
import { disassemble } from '../../../dist/seccomp/disassemble';
import { type Action, allow, errno, kill, notify } from '../../../dist/seccomp/policy';
import { defaultProfile } from '../../../dist/seccomp/profile';
import { archTables } from '../../../dist/seccomp/tables';

const list = (program: Parameters<typeof encode>[0], arch: 'x64' | 'arm64' = 'x64') =>
  disassemble(encode(program), arch)
    .split('\n')
    .map((line) => line.trim().split('  ')[1]);
const load = (k: number) => ({ code: opcode.loadWord, jt: 0, jf: 0, k });
const give = (k: number) => ({ code: opcode.return, jt: 0, jf: 0, k });

const actions: readonly (readonly [string, Action, number])[] = [
  ['kill', kill, 0x80000000],
  ['killThread', { kind: 'killThread' }, 0],
  ['trap', { kind: 'trap' }, 0x30000],
  ['errno 0', errno(0), 0x50000],
  ['errno 38', errno(38), 0x50026],
  ['errno 4095', errno(4095), 0x50fff],
  ['notify', notify, 0x7fc00000],
  ['trace', { kind: 'trace' }, 0x7ff00000],
  ['log', { kind: 'log' }, 0x7ffc0000],
  ['allow', allow, 0x7fff0000],
];

describe('return values', () => {
  test.each(actions)('%s', (name, action, value) => {
    expect(returnValue(action)).toBe(value);
    expect(list([give(value)])).toEqual([`return ${name}`]);
  });

  test('a value that the kernel does not define is shown as a number', () => {
    expect(list([give(0x12345678)])).toEqual(['return 0x12345678']);
  });
});

describe('instructions', () => {
  test.each([
    ['the number', 0, 'load nr'],
    ['the architecture', 4, 'load arch'],
    ['the low half of the first argument', 16, 'load arg0.low'],
    ['the high half of the first argument', 20, 'load arg0.high'],
    ['the high half of the last argument', 60, 'load arg5.high'],
  ])('loads %s', (_, offset, expected) => {
    expect(list([load(offset)])).toEqual([expected]);
  });

  test('jumps show their target, and comparisons both targets', () => {
    const program = [
      load(24),
      { code: opcode.and, jt: 0, jf: 0, k: 0xf0 },
      { code: opcode.jumpEqual, jt: 0, jf: 2, k: 16 },
      { code: opcode.jumpGreater, jt: 1, jf: 0, k: 17 },
      { code: opcode.jump, jt: 0, jf: 0, k: 1 },
      { code: opcode.jumpGreaterEqual, jt: 0, jf: 0, k: 18 },
      give(0x7fff0000),
    ];
    expect(disassemble(encode(program), 'x64')).toBe(
      [
        '   0  load arg1.low',
        '   1  and 0xf0',
        '   2  if arg1.low == 0x10 goto 3 else 5',
        '   3  if arg1.low > 0x11 goto 5 else 4',
        '   4  goto 6',
        '   5  if arg1.low >= 0x12 goto 6 else 6',
        '   6  return allow',
      ].join('\n'),
    );
  });

  test('an instruction that seccomp filters do not use is shown as numbers', () => {
    expect(list([{ code: 0x16, jt: 1, jf: 2, k: 255 }])).toEqual(['opcode 0x16 1 2 0xff']);
  });

  test.each<[string, 'x64' | 'arm64', number, string]>([
    ['x64', 'x64', 0, '0 (read)'],
    ['arm64', 'arm64', 63, '63 (read)'],
    ['an unknown number', 'x64', 4000, '4000 (syscall_4000)'],
    ['a number of x32 on x64', 'x64', 0x40000000, '0x40000000'],
    ['the same number on arm64', 'arm64', 0x40000000, '1073741824 (syscall_1073741824)'],
  ])('a compared system call is shown with its name: %s', (_, arch, nr, expected) => {
    expect(list([load(0), { code: opcode.jumpEqual, jt: 0, jf: 0, k: nr }], arch)[1]).toBe(`if nr == ${expected} goto 2 else 2`);
  });
});

test.each(['x64', 'arm64'] as const)('a whole filter for %s starts with the check of the architecture', (arch) => {
  const lines = disassemble(compile({ rules: [], otherwise: errno(1) }, arch), arch).split('\n');
  expect(lines[0]).toBe('   0  load arch');
  expect(lines[1]).toContain(`if arch == 0x${archTables[arch].audit.toString(16)} goto 2 else `);
  expect(lines[2]).toBe('   2  load nr');
});

test('each comparison shows the word that was loaded before it', () => {
  const text = disassemble(compile(defaultProfile({ nestedUserNamespaces: false, netlinkRoute: true }), 'x64'), 'x64');
  const lines = text.split('\n').map((line) => line.slice(6));
  // The filter searches for the number first: such a comparison is never shown as one of an argument.
  for (const line of lines.filter((one) => /\(\w+\) goto/.test(one))) expect(line).toMatch(/^if nr /);
  // These comparisons are shared by two arguments with a mask.
  expect(lines.filter((line) => /^if A /.test(line)).length).toBeLessThan(3);
  const argument = lines.findIndex((line) => line.startsWith('load arg'));
  expect(lines[argument + 1]).toMatch(/^(if|and) /);
});
