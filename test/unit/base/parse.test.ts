// Reading what callers give: sizes, numbers, paths, names.
import {
  bare,
  deepFreeze,
  parseArray,
  parseBytes,
  parseHostPath,
  parseInteger,
  parseObject,
  parseOneOf,
  parseRecord,
  parseString,
  parseTarget,
} from '../../../dist/base/parse';
import { parseSignalNumber } from '../../../dist/base/signals';
import { thrown } from '../../support';

test.each([
  [1, 1],
  ['1K', 1024],
  ['1.5M', 1.5 * 2 ** 20],
  ['2G', 2 ** 31],
  ['1T', 2 ** 40],
])('%p is a size', (value, bytes) => {
  expect(parseBytes(value, 'limits.memory')).toBe(bytes);
});

test.each(['', 'K', '1k', '1 K', '-1K', '1KB', '0x10', '1e3', 0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, null, {}, 1n, '9999999T'])(
  '%p is no size',
  (value) => {
    expect(thrown(() => parseBytes(value, 'limits.memory'))).toMatchObject({ path: 'limits.memory' });
  },
);

test('numbers within their bounds', () => {
  expect([parseInteger(1, 'n', 1, 3), parseInteger(3, 'n', 1, 3)]).toEqual([1, 3]);
  for (const value of [0, 4, 1.5, Number.NaN])
    expect(thrown(() => parseInteger(value, 'n', 1, 3))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  for (const value of ['1', null, true, [1]])
    expect(thrown(() => parseInteger(value, 'n', 1, 3))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
});

test('one of some names', () => {
  expect(parseOneOf('a', 'at', ['a', 'b'])).toBe('a');
  expect(thrown(() => parseOneOf('c', 'at', ['a', 'b']))?.message).toMatch(/'a', 'b'.*'c'/);
  expect(thrown(() => parseOneOf(1, 'at', ['a']))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
});

test('text has no NUL', () => {
  expect(thrown(() => parseString('a\0b', 'at'))?.message).toMatch(/NUL/);
});

test.each([
  ['/', '/'],
  ['/a//b/./c/', '/a/b/c'],
  ['/a/.', '/a'],
])('the target %s is %s', (given, path) => {
  expect(parseTarget(given, 'at')).toBe(path);
});

test.each(['a', './a', '', '/a/../b', '/..', `/${'x'.repeat(256)}`])('%p is no target', (path) => {
  expect(thrown(() => parseTarget(path, 'at'))).toMatchObject({ path: 'at' });
});

test('a path of the host, also as a URL', () => {
  expect(parseHostPath(new URL('file:///a%20b'), 'at')).toBe('/a b');
  expect(thrown(() => parseHostPath(new URL('http://a/b'), 'at'))?.message).toMatch(/file: URL/);
  expect(thrown(() => parseHostPath('a', 'at'))?.message).toMatch(/absolute/);
});

test('an unknown key names what is near', () => {
  expect(thrown(() => parseObject({ limts: 1 }, '', ['limits', 'mounts']))?.message).toMatch(
    /^limts: unknown option; did you mean 'limits'/,
  );
  expect(thrown(() => parseObject({ zzzzzz: 1 }, 'a', ['limits']))?.message).toMatch(/^a\.zzzzzz: unknown option; known options: limits/);
});

test('arrays by index alone', () => {
  const list = [1, 2];
  list[Symbol.iterator] = () => [][Symbol.iterator]();
  expect(parseArray(list, 'at')).toEqual([1, 2]);
  expect(thrown(() => parseArray('ab', 'at'))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
});

test('records keep what is undefined', () => {
  expect(Object.entries(parseRecord({ a: 1, b: undefined }, 'at'))).toEqual([
    ['a', 1],
    ['b', undefined],
  ]);
});

test('frozen data has no prototype, all the way down', () => {
  const data = deepFreeze({ a: { b: [{ c: 1 }] } });
  expect([data, data.a, data.a.b[0]].map((one) => [Object.getPrototypeOf(one), Object.isFrozen(one)])).toEqual(Array(3).fill([null, true]));
  expect(Object.getPrototypeOf(bare(new Map()))).toBe(Map.prototype);
});

test('signals by name and number', () => {
  expect([parseSignalNumber('SIGKILL', 'at'), parseSignalNumber(0, 'at'), parseSignalNumber(64, 'at')]).toEqual([9, 0, 64]);
  for (const value of ['KILL', 'sigkill', 65, -1, undefined, null]) expect(thrown(() => parseSignalNumber(value, 'at'))).toBeDefined();
});
