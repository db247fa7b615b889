// Compares the filter compiler with its own specification and with the compiler of libseccomp.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { compile, returnValue } from '../../../dist/seccomp/compile';
import { type Action, type Condition, decide, errno, type Policy } from '../../../dist/seccomp/policy';
import { rulesFor } from '../../../dist/seccomp/rules';
import { archTables } from '../../../dist/seccomp/tables';
import { testIf } from '../../support';
import { interpret } from '../../support/interpret';

const names = ['read', 'write', 'openat', 'ioctl', 'socket', 'clone', 'prctl', 'mount', 'futex_waitv', 'cachestat'];
const values = [
  0n,
  1n,
  2n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x1_0000_0000n,
  0x1_0000_0001n,
  0x7fff_ffff_ffff_ffffn,
  0xffff_ffff_ffff_ffffn,
];
const word = fc.oneof(fc.constantFrom(...values), fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }));
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.constantFrom<Action>(
    { kind: 'allow' },
    { kind: 'kill' },
    { kind: 'killThread' },
    { kind: 'trap' },
    { kind: 'log' },
    { kind: 'notify' },
  ),
  fc.integer({ min: 1, max: 133 }).map(errno),
);
const condition: fc.Arbitrary<Condition> = fc.record(
  {
    index: fc.integer({ min: 0, max: 5 }) as fc.Arbitrary<Condition['index']>,
    op: fc.constantFrom('eq', 'ne', 'lt', 'le', 'gt', 'ge'),
    value: word,
    mask: word,
    width: fc.constantFrom(32, 64),
  },
  { requiredKeys: ['index', 'op', 'value', 'width'] },
);
const rule = fc.record({
  names: fc.subarray(names, { minLength: 1 }),
  action,
  when: fc.array(condition, { maxLength: 4 }),
  why: fc.constant(''),
});
const policy: fc.Arbitrary<Policy> = fc.record({ rules: fc.array(rule, { maxLength: 25 }), otherwise: action });
const args = fc.array(word, { minLength: 6, maxLength: 6 });

const { audit, numbers } = archTables.x64;
const run = (filter: Uint8Array, name: string, given: readonly bigint[]) =>
  interpret(filter, { nr: numbers[name] ?? -1, arch: audit, args: given });

/** Values near those that the policy compares. */
const near = (of: Policy): bigint[] =>
  of.rules
    .flatMap(({ when = [] }) => when.flatMap(({ value }) => [value, value + 1n, value - 1n, value ^ (1n << 32n)]))
    .map((value) => BigInt.asUintN(64, value));

test('a compiled filter decides as its policy specifies', () => {
  fc.assert(
    fc.property(policy, fc.array(args, { minLength: 5, maxLength: 5 }), fc.nat(), (given, calls, seed) => {
      const filter = compile(given, 'x64');
      const edges = near(given);
      const mixed =
        edges.length === 0
          ? []
          : Array.from({ length: 20 }, (_, round) =>
              Array.from({ length: 6 }, (_, index) => edges[(seed + round * 7 + index * 3) % edges.length] ?? 0n),
            );
      for (const name of names)
        for (const call of [...calls, ...mixed]) expect(run(filter, name, call)).toBe(returnValue(decide(given, name, call)));
    }),
    { numRuns: 300 },
  );
});

test('a condition without a width allows no more and denies no less than either width', () => {
  fc.assert(
    fc.property(condition, args, fc.boolean(), (one, given, isGrant) => {
      const { width: _, ...open } = one;
      const chosen: Action = isGrant ? { kind: 'allow' } : errno(1);
      const other: Action = isGrant ? errno(1) : { kind: 'allow' };
      const both: Policy = { rules: rulesFor(['read'], chosen, [open], ''), otherwise: other };
      const single = (width: 32 | 64): Policy => ({
        rules: [{ names: ['read'], action: chosen, when: [{ ...one, width }], why: '' }],
        otherwise: other,
      });
      const allowed = (of: Policy) => decide(of, 'read', given).kind === 'allow';
      // Only the 64-bit reading applies to a value beyond 32 bits, or with a mask that covers only the low 32 bits.
      const readings =
        one.value > 0xffffffffn || (one.mask !== undefined && one.mask <= 0xffffffffn) ? [single(64)] : [single(32), single(64)];
      expect(allowed(both)).toBe(readings.every(allowed));
    }),
    { numRuns: 2000 },
  );
});

const oracle = join(__dirname, '../../../build/test/seccomp-oracle');

testIf(existsSync(oracle) && process.arch === 'x64', 'libseccomp on x64', 'libseccomp makes the same decisions', () => {
  // One rule per system call, because libseccomp has its own way to combine several.
  const scmp = fc.record(
    {
      index: condition.map(({ index }) => index),
      op: fc.constantFrom('eq', 'ne', 'lt', 'le', 'gt', 'ge', 'masked' as const),
      value: word,
      mask: word,
    },
    { requiredKeys: ['index', 'op', 'value', 'mask'] },
  );
  const uniqueArguments = fc.uniqueArray(scmp, { maxLength: 3, selector: ({ index }) => index });
  const entry = fc.record({
    name: fc.constantFrom(...names.filter((name) => !['futex_waitv', 'cachestat'].includes(name))),
    errno: fc.integer({ min: 2, max: 100 }),
    when: uniqueArguments,
  });
  let compared = 0;
  fc.assert(
    fc.property(
      fc.uniqueArray(entry, { minLength: 1, maxLength: 6, selector: ({ name }) => name }),
      fc.array(args, { minLength: 10, maxLength: 10 }),
      (entries, calls) => {
        const text = [
          'default 7fff0000',
          ...entries.map(({ name, errno: number, when }) =>
            [
              `rule ${(0x50000 | number).toString(16)} ${name}`,
              ...when.map(
                ({ index, op, value, mask }) =>
                  `${index} ${op} ${(op === 'masked' ? mask : value).toString(16)} ${(value & mask).toString(16)}`,
              ),
            ].join(' '),
          ),
        ].join('\n');
        const theirs = execFileSync(oracle, { input: `${text}\n`, stdio: ['pipe', 'pipe', 'ignore'] });
        const given: Policy = {
          otherwise: { kind: 'allow' },
          rules: entries.map(({ name, errno: number, when }) => ({
            names: [name],
            action: errno(number),
            why: '',
            when: when.map(({ index, op, value, mask }) =>
              op === 'masked'
                ? { index, op: 'eq' as const, value: value & mask, mask, width: 64 as const }
                : { index, op, value, width: 64 as const },
            ),
          })),
        };
        const ours = compile(given, 'x64');
        const edges = near(given);
        const mixed = Array.from({ length: edges.length === 0 ? 0 : 20 }, (_, round) =>
          Array.from({ length: 6 }, (_, index) => edges[(round * 5 + index) % edges.length] ?? 0n),
        );
        for (const { name } of entries)
          for (const call of [...calls, ...mixed]) {
            expect([name, call, run(ours, name, call)]).toEqual([name, call, run(theirs, name, call)]);
            compared++;
          }
      },
    ),
    { numRuns: 200 },
  );
  expect(compared).toBeGreaterThan(1000);
});
