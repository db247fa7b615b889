// Rules of the option seccomp, and how a policy applies them.
import { constants } from 'node:os';
import { callsOf } from '../../../dist/seccomp/groups';
import { type Action, allow, decide, decidingRule, errno, ownRules, type Rule } from '../../../dist/seccomp/policy';
import { parseNames, parseRules, parseWord, rulesFor } from '../../../dist/seccomp/rules';
import { thrown } from '../../support/host';

const denied = (value: unknown) => parseRules(value, 'deny', errno, 'test');
const allowed = (value: unknown) => parseRules(value, 'allow', () => allow, 'test');
const one = (condition: object) => [{ names: 'read', when: [{ index: 0, op: 'eq', value: 5, ...condition }] }];

describe('names', () => {
  test.each<[string, unknown, readonly string[]]>([
    ['a name', 'read', ['read']],
    ['several names', ['read', 'write'], ['read', 'write']],
    ['a group', '@keyring', ['add_key', 'request_key', 'keyctl']],
    ['a group and a name', ['read', '@clock'], ['read', ...callsOf('@clock')]],
    ['a call of another architecture', ['socketcall'], ['socketcall']],
    ['none', [], []],
  ])('%s', (_, value, expected) => {
    expect(parseNames(value, 'names')).toEqual(expected);
  });

  test.each<[string, unknown, string, string]>([
    ['a misspelt name', 'raed', 'names', "unknown system call 'raed'"],
    ['a misspelt name in a list', ['read', 'raed'], 'names[1]', "unknown system call 'raed'"],
    ['a group that does not exist', ['@keys'], 'names[0]', "unknown system call group '@keys'"],
    ['a number', [0], 'names[0]', 'expected a string, received number'],
    ['a name of Object.prototype', 'toString', 'names', "unknown system call 'toString'"],
  ])('%s is an error', (_, value, path, message) => {
    const error = thrown(() => parseNames(value, 'names'));
    expect(error.path).toBe(path);
    expect(error.message).toContain(message);
  });
});

describe('a list of rules', () => {
  test('may be empty', () => {
    expect(denied([])).toEqual([]);
  });

  test('has names, groups and rules in any order', () => {
    expect(denied(['read', { names: ['write', '@keyring'] }])).toEqual([
      { names: ['read'], action: errno(1), why: 'test' },
      { names: ['write', 'add_key', 'request_key', 'keyctl'], action: errno(1), why: 'test' },
    ]);
  });

  test.each<[unknown, number]>([
    [undefined, constants.errno.EPERM],
    ['ENOSYS', constants.errno.ENOSYS],
    [1, 1],
    [4095, 4095],
  ])('errno %j', (given, expected) => {
    expect(denied([{ names: 'read', errno: given }])[0]?.action).toEqual({ kind: 'errno', errno: expected });
  });

  test.each<[string, unknown, string, string]>([
    ['an errno of 0', [{ names: 'read', errno: 0 }], 'deny[0].errno', 'from 1 to 4095'],
    ['an errno out of range', [{ names: 'read', errno: 4096 }], 'deny[0].errno', 'from 1 to 4095'],
    ['an errno without a name', [{ names: 'read', errno: 'EFOO' }], 'deny[0].errno', "received 'EFOO'"],
    ['an errno of another type', [{ names: 'read', errno: true }], 'deny[0].errno', 'expected a string'],
    ['names that are missing', ['read', {}], 'deny[1].names', 'expected an array'],
    ['an unknown property', [{ name: 'read' }], 'deny[0].name', "did you mean 'names'?"],
    ['no list', 'read', 'deny', 'expected an array'],
    ['a condition without an index', one({ index: undefined }), 'deny[0].when[0].index', 'expected a number'],
    ['a fraction', one({ value: 1.5 }), 'deny[0].when[0].value', 'expected a whole number'],
    ['a value of more than 64 bits', one({ value: 2n ** 64n }), 'deny[0].when[0].value', 'from 0 to 2^64 - 1'],
    ['a mask that is a string', one({ mask: '1' }), 'deny[0].when[0].mask', 'from 0 to 2^64 - 1'],
    ['another width', one({ width: 16 }), 'deny[0].when[0].width', "expected one of '32', '64', received '16'"],
  ])('%s is an error', (_, value, path, message) => {
    const error = thrown(() => denied(value));
    expect(error.path).toBe(path);
    expect(error.message).toContain(message);
  });

  test('words are numbers or bigints up to 64 bits', () => {
    expect([parseWord(0, 'w'), parseWord(2 ** 40, 'w'), parseWord(2n ** 64n - 1n, 'w')]).toEqual([0n, 2n ** 40n, 2n ** 64n - 1n]);
    expect(thrown(() => parseWord(-1n, 'w')).message).toBe('w: expected a whole number from 0 to 2^64 - 1');
  });
});

describe('the width of a condition', () => {
  const widths = (rules: readonly Rule[]) => rules.map(({ when = [] }) => when.map(({ width }) => width));

  test.each<[string, object, readonly (readonly number[])[], readonly (readonly number[])[]]>([
    ['both by default', {}, [[64], [32]], [[64, 32]]],
    ['only 32 bits', { width: 32 }, [[32]], [[32]]],
    ['only 64 bits', { width: 64 }, [[64]], [[64]]],
    ['a value above 32 bits', { value: 2n ** 32n }, [[64]], [[64]]],
    ['a mask within 32 bits', { mask: 0xff }, [[64]], [[64]]],
    ['a mask above 32 bits', { mask: 2n ** 33n + 1n }, [[64], [32]], [[64, 32]]],
  ])('%s', (_, condition, whenDenied, whenAllowed) => {
    expect(widths(denied(one(condition)))).toEqual(whenDenied);
    expect(widths(allowed(one(condition)))).toEqual(whenAllowed);
  });

  test('a denial with two conditions has a rule for each combination', () => {
    const conditions = [
      { index: 0, op: 'eq', value: 1n },
      { index: 1, op: 'eq', value: 2n },
    ] as const;
    expect(widths(rulesFor(['read'], errno(1), conditions, 'test'))).toEqual([
      [64, 64],
      [64, 32],
      [32, 64],
      [32, 32],
    ]);
  });

  test.each<[Action['kind'], number]>([
    ['allow', 1],
    ['log', 1],
    ['trace', 1],
    ['kill', 2],
    ['killThread', 2],
    ['trap', 2],
    ['notify', 2],
  ])('%s makes %d rules of one condition', (kind, count) => {
    const condition = { index: 0, op: 'eq', value: 1n } as const;
    expect(rulesFor(['read'], { kind } as Action, [condition], 'test')).toHaveLength(count);
  });

  test('a mask and a value are kept', () => {
    expect(denied(one({ mask: 0xff }))[0]?.when).toEqual([{ index: 0, op: 'eq', value: 5n, mask: 0xffn, width: 64 }]);
  });
});

describe('a policy', () => {
  const policy = {
    rules: [
      { names: ['read', 'write'], action: errno(5), when: [{ index: 3, op: 'eq', value: 0n, width: 64 }], why: 'zero' },
      { names: ['read'], action: allow, why: 'others' },
    ],
    otherwise: errno(38),
  } as const;

  test('omitted arguments are zero', () => {
    expect(decide(policy, 'read', [])).toEqual(errno(5));
    expect(decide(policy, 'read', [0n, 0n, 0n, 1n])).toEqual(allow);
  });

  test('finds the rule that decides, if there is one', () => {
    expect(decidingRule(policy, 'read', [0n, 0n, 0n, 1n])?.why).toBe('others');
    expect(decidingRule(policy, 'write', [0n, 0n, 0n, 1n])).toBeUndefined();
    expect(decide(policy, 'write', [0n, 0n, 0n, 1n])).toEqual(errno(38));
  });

  test('copies of its rules have no prototype', () => {
    const copies = ownRules(policy.rules);
    expect(copies).toEqual(policy.rules);
    for (const object of [...copies, ...copies.flatMap(({ when = [] }) => when)]) expect(Object.getPrototypeOf(object)).toBeNull();
  });
});
