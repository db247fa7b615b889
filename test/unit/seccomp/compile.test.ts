import { data, decode, maxInstructions } from '../../../dist/seccomp/bpf';
import { compile, returnValue } from '../../../dist/seccomp/compile';
import { allow, type Condition, decide, errno, type Policy } from '../../../dist/seccomp/policy';
import { defaultProfile } from '../../../dist/seccomp/profile';
import { type Arch, archTables, syscallName } from '../../../dist/seccomp/tables';
import { interpret } from '../../support/interpret';

const profiles: readonly (readonly [string, Policy])[] = [
  ['untrusted', defaultProfile({ nestedUserNamespaces: false, netlinkRoute: false })],
  ['node', defaultProfile({ nestedUserNamespaces: false, netlinkRoute: true })],
  ['nested', defaultProfile({ nestedUserNamespaces: true, netlinkRoute: false })],
];
const arches = ['x64', 'arm64'] as const;
const enosys = 0x00050000 | 38;
const kill = 0x80000000;

/**
 * Values at which the result of a condition may change: its own values and their neighbours, in either half of the
 * word, and the limits.
 */
function boundaries(policy: Policy, name: string): readonly bigint[] {
  const conditions = policy.rules.filter(({ names }) => names.includes(name)).flatMap(({ when = [] }) => when);
  const values = conditions.flatMap(({ value, mask = 0n }) => [
    value,
    value - 1n,
    value + 1n,
    mask,
    ~mask,
    value | (1n << 32n),
    value << 32n,
    mask << 32n,
  ]);
  const bits = conditions.flatMap(({ mask }) =>
    mask === undefined ? [] : Array.from({ length: 33 }, (_, bit) => 1n << BigInt(bit)).filter((bit) => (mask & bit) !== 0n),
  );
  return [
    ...new Set(
      [0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 63n, 2n ** 64n - 1n, ...values, ...bits].map((value) => BigInt.asUintN(64, value)),
    ),
  ];
}

/** Yields every combination of boundary values for the arguments that the rules compare. */
function* calls(policy: Policy, name: string): Generator<bigint[]> {
  const used = new Set(policy.rules.filter(({ names }) => names.includes(name)).flatMap(({ when = [] }) => when.map(({ index }) => index)));
  const values = boundaries(policy, name);
  const vary = function* (indices: readonly number[], args: bigint[]): Generator<bigint[]> {
    const [index, ...rest] = indices;
    if (index === undefined) {
      yield args;
      return;
    }
    for (const value of values) yield* vary(rest, args.with(index, value));
  };
  yield* vary([...used], [7n, 7n, 7n, 7n, 7n, 7n]);
}

describe.each(arches)('%s', (arch: Arch) => {
  const { audit, numbers } = archTables[arch];
  const last = Math.max(...Object.values(numbers));

  test.each(profiles)('profile %s decides every number and argument as its rules specify', (_, policy) => {
    const filter = compile(policy, arch);
    const known = new Set(Object.values(numbers));
    let checked = 0;
    for (const [name, nr] of Object.entries(numbers)) {
      for (const args of calls(policy, name)) {
        const got = interpret(filter, { nr, arch: audit, args });
        const expected = returnValue(decide(policy, name, args));
        if (got !== expected) throw new Error(`${name}(${args.join(', ')}): ${got.toString(16)} instead of ${expected.toString(16)}`);
        checked++;
      }
    }
    for (const nr of [...Array(1024).keys(), 2 ** 30 - 1, 2 ** 30, 2 ** 30 + 39, 2 ** 31, 2 ** 32 - 1, last + 1]) {
      if (!known.has(nr)) expect(interpret(filter, { nr, arch: audit, args: [] })).toBe(enosys);
    }
    expect(checked).toBeGreaterThan(Object.keys(numbers).length);
  });

  test('calls of another architecture are killed', () => {
    const filter = compile(profiles[0]?.[1] ?? { rules: [], otherwise: allow }, arch);
    for (const foreign of [0x40000003, 0x40000028, 0, 0xffffffff]) {
      for (const nr of [0, 1, 39, 59, 0x40000001]) expect(interpret(filter, { nr, arch: foreign, args: [] })).toBe(kill);
    }
  });

  test('the program is not too long, and every jump stays inside it', () => {
    for (const [, policy] of profiles) {
      const program = decode(compile(policy, arch));
      expect(program.length).toBeLessThanOrEqual(maxInstructions);
      for (const [at, { code, jt, jf, k }] of program.entries()) {
        const next = code === 0x05 ? [at + 1 + k] : (code & 7) === 5 ? [at + 1 + jt, at + 1 + jf] : [];
        for (const target of next) expect(target).toBeLessThan(program.length);
      }
    }
  });
});

describe('conditions', () => {
  const ops = ['eq', 'ne', 'lt', 'le', 'gt', 'ge'] as const;
  const widths = [32, 64] as const;
  const cases = ops.flatMap((op) => widths.flatMap((width) => [undefined, 0xf0f0f0f0f0f0f0f0n].map((mask) => ({ op, width, mask }))));

  test.each(cases)('$op, $width bits, mask $mask', ({ op, width, mask }) => {
    for (const value of [0n, 5n, 0xffffffffn, 0x1_0000_0005n, 2n ** 63n]) {
      const condition: Condition = { index: 2, op, value, width, ...(mask === undefined ? {} : { mask }) };
      const policy: Policy = { rules: [{ names: ['read'], action: allow, when: [condition], why: 'test' }], otherwise: errno(99) };
      const filter = compile(policy, 'x64');
      for (const args of calls(policy, 'read')) {
        expect(interpret(filter, { nr: 0, arch: archTables.x64.audit, args })).toBe(returnValue(decide(policy, 'read', args)));
      }
    }
  });

  test('the first rule that matches decides', () => {
    const when = (value: bigint): readonly Condition[] => [{ index: 0, op: 'eq', value, width: 32 }];
    const rules = [
      { names: ['read'], action: errno(1), when: when(1n), why: '' },
      { names: ['read'], action: errno(2), when: when(1n), why: '' },
      { names: ['read'], action: errno(3), why: '' },
    ];
    const filter = compile({ rules, otherwise: allow }, 'x64');
    const run = (argument: bigint) => interpret(filter, { nr: 0, arch: archTables.x64.audit, args: [argument] });
    expect([run(1n), run(2n)]).toEqual([0x50001, 0x50003]);
  });

  test('many rules for one call each decide their own value', () => {
    const values = Array.from({ length: 600 }, (_, index) => index * 2);
    const rules = values.map((value) => ({
      names: ['read'],
      action: errno(7),
      when: [{ index: 0, op: 'eq', value: BigInt(value), width: 32 }] satisfies readonly Condition[],
      why: '',
    }));
    const filter = compile({ rules, otherwise: allow }, 'x64');
    const run = (argument: number) => interpret(filter, { nr: 0, arch: archTables.x64.audit, args: [BigInt(argument)] });
    for (const value of values) expect([run(value), run(value + 1)]).toEqual([0x50007, 0x7fff0000]);
  });

  test('a filter that is too long for the kernel is an error', () => {
    const rules = Array.from({ length: maxInstructions }, (_, value) => ({
      names: ['read'],
      action: allow,
      when: [{ index: 0, op: 'eq', value: BigInt(value), width: 32 }] satisfies readonly Condition[],
      why: '',
    }));
    expect(() => compile({ rules, otherwise: errno(1) }, 'x64')).toThrow(/4096|instructions/);
  });
});

test('no system call of the profiles is misspelt', () => {
  const known = new Set(Object.values(archTables).flatMap(({ numbers }) => Object.keys(numbers)));
  for (const [, { rules }] of profiles) for (const { names } of rules) for (const name of names) expect(known).toContain(name);
});

test('names of system calls are found by number', () => {
  expect(syscallName(0, 'x64')).toBe('read');
  expect(syscallName(9999, 'x64')).toBe('syscall_9999');
  expect(data.argument(1, 'high')).toBe(28);
});
