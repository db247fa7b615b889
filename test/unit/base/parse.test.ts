// Parsing values from callers: sizes, numbers, paths, names.
import { runInNewContext } from 'node:vm';
import {
  bare,
  deepFreeze,
  isBytes,
  isUrl,
  parseArray,
  parseBoolean,
  parseBytes,
  parseHostPath,
  parseInteger,
  parseObject,
  parseOneOf,
  parseRecord,
  parseSignal,
  parseString,
  parseTarget,
} from '../../../dist/base/parse';
import { parseSignalNumber } from '../../../dist/base/signals';
import { thrown } from '../../support/host';

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
  '%p is not a size',
  (value) => {
    expect(thrown(() => parseBytes(value, 'limits.memory'))).toMatchObject({ path: 'limits.memory' });
  },
);

test('numbers must be within their bounds', () => {
  expect([parseInteger(1, 'n', 1, 3), parseInteger(3, 'n', 1, 3)]).toEqual([1, 3]);
  for (const value of [0, 4, 1.5, Number.NaN])
    expect(thrown(() => parseInteger(value, 'n', 1, 3))).toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  for (const value of ['1', null, true, [1]])
    expect(thrown(() => parseInteger(value, 'n', 1, 3))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
});

test('a value must be one of the given names', () => {
  expect(parseOneOf('a', 'at', ['a', 'b'])).toBe('a');
  expect(thrown(() => parseOneOf('c', 'at', ['a', 'b']))?.message).toMatch(/'a', 'b'.*'c'/);
  expect(thrown(() => parseOneOf(1, 'at', ['a']))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
});

test('text must not contain NUL', () => {
  expect(thrown(() => parseString('a\0b', 'at'))?.message).toMatch(/NUL/);
});

test.each([
  ['/', '/'],
  ['/a//b/./c/', '/a/b/c'],
  ['/a/.', '/a'],
])('the target %s is %s', (given, path) => {
  expect(parseTarget(given, 'at')).toBe(path);
});

test.each(['a', './a', '', '/a/../b', '/..', `/${'x'.repeat(256)}`])('%p is not a target', (path) => {
  expect(thrown(() => parseTarget(path, 'at'))).toMatchObject({ path: 'at' });
});

test('a path of the host may be a file URL', () => {
  expect(parseHostPath(new URL('file:///a%20b'), 'at')).toBe('/a b');
  expect(thrown(() => parseHostPath(new URL('http://a/b'), 'at'))?.message).toMatch(/file: URL/);
  expect(thrown(() => parseHostPath('a', 'at'))?.message).toMatch(/absolute/);
});

test('the error about an unknown key suggests a similar name', () => {
  expect(thrown(() => parseObject({ limts: 1 }, '', ['limits', 'mounts']))?.message).toMatch(
    /^limts: unknown option; did you mean 'limits'/,
  );
  expect(thrown(() => parseObject({ zzzzzz: 1 }, 'a', ['limits']))?.message).toMatch(/^a\.zzzzzz: unknown option; known options: limits/);
});

test('arrays are read by index, not by their iterator', () => {
  const list = [1, 2];
  list[Symbol.iterator] = () => [][Symbol.iterator]();
  expect(parseArray(list, 'at')).toEqual([1, 2]);
  expect(thrown(() => parseArray('ab', 'at'))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
});

test('records keep undefined values', () => {
  expect(Object.entries(parseRecord({ a: 1, b: undefined }, 'at'))).toEqual([
    ['a', 1],
    ['b', undefined],
  ]);
});

test('frozen data has no prototype at any depth', () => {
  const data = deepFreeze({ a: { b: [{ c: 1 }] } });
  expect([data, data.a, data.a.b[0]].map((one) => [Object.getPrototypeOf(one), Object.isFrozen(one)])).toEqual(Array(3).fill([null, true]));
  expect(Object.getPrototypeOf(bare(new Map()))).toBe(Map.prototype);
});

test('signals are given by name or by number', () => {
  expect([parseSignalNumber('SIGKILL', 'at'), parseSignalNumber(0, 'at'), parseSignalNumber(64, 'at')]).toEqual([9, 0, 64]);
  for (const value of ['KILL', 'sigkill', 65, -1, undefined, null]) expect(thrown(() => parseSignalNumber(value, 'at'))).toBeDefined();
});

describe('values of the wrong type', () => {
  test.each([
    [null, 'null'],
    [undefined, 'undefined'],
    [[1], 'an array'],
    [{}, 'object'],
    [1, 'number'],
  ])('%j is reported as received', (value, received) => {
    expect(thrown(() => parseString(value, 'cwd'))).toMatchObject({
      path: 'cwd',
      code: 'ERR_INVALID_ARG_TYPE',
      message: `cwd: expected a string, received ${received}`,
    });
  });

  test('only true and false are booleans', () => {
    expect([parseBoolean(true, 'at'), parseBoolean(false, 'at')]).toEqual([true, false]);
    for (const value of [0, 1, 'true', null])
      expect(thrown(() => parseBoolean(value, 'at'))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
  });

  test('the accepted names are listed', () => {
    expect(thrown(() => parseOneOf(true, 'at', ['a', 'b'])).message).toBe("at: expected 'a' or 'b', received boolean");
  });
});

describe('objects that are not records', () => {
  const plain = 'expected a plain object, received';
  test.each([
    ['a Map', new Map(), 'expected a plain object; use Object.fromEntries to convert a Map, received a Map'],
    ['a Set', new Set(), 'expected a plain object; use Object.fromEntries to convert its entries, received a Set'],
    ['a Date', new Date(0), `${plain} a Date`],
    ['a RegExp', /x/, `${plain} a RegExp`],
    ['a Promise', Promise.resolve({}), `${plain} a Promise; await it first`],
    ['a boxed string', Object('x'), `${plain} a boxed primitive`],
    ['a Buffer', Buffer.alloc(1), `${plain} bytes`],
    ['a DataView', new DataView(new ArrayBuffer(1)), `${plain} bytes`],
    ['an ArrayBuffer', new ArrayBuffer(1), `${plain} bytes`],
    ['an Error', new Error('x'), `${plain} an Error`],
    ['a WeakMap', new WeakMap(), `${plain} a weak collection`],
    ['a WeakSet', new WeakSet(), `${plain} a weak collection`],
    ['a proxy', new Proxy({}, {}), `${plain} a proxy`],
    ['a Map of another realm', runInNewContext('new Map()'), 'use Object.fromEntries to convert a Map, received a Map'],
    ['an object with a proxy as its prototype', Object.create(new Proxy({}, {})), `${plain} an object with a proxy as its prototype`],
    ['null', null, 'expected an object, received null'],
    ['an array', [], 'expected an object, received an array'],
    ['a function', () => ({}), 'expected an object, received function'],
  ])('%s is refused', (_, value, message) => {
    for (const parse of [() => parseObject(value, 'limits', ['size']), () => parseRecord(value, 'limits')]) {
      const error = thrown(parse);
      expect(error).toMatchObject({ name: 'OptionError', path: 'limits', code: 'ERR_INVALID_ARG_TYPE' });
      expect(error.message).toContain(message);
    }
  });

  test.each([
    ['null', null],
    ['an array', []],
    ['a proxy', new Proxy({}, {})],
    ['a Map', new Map()],
  ])('the error about %s in place of all options has the path options', (_, value) => {
    expect(thrown(() => parseObject(value, '', ['limits']))).toMatchObject({ path: 'options' });
  });
});

describe('properties of an object', () => {
  const keys = ['cwd', 'env', 'toString'] as const;

  test('only given keys are in the result', () => {
    expect(Object.entries(parseObject({ cwd: '/', env: undefined }, '', keys))).toEqual([
      ['cwd', '/'],
      ['env', undefined],
    ]);
  });

  test('accessors of a class count and are called once', () => {
    let calls = 0;
    class Options {
      env = 1;
      get cwd() {
        calls++;
        return '/';
      }
    }
    expect({ ...parseObject(new Options(), '', keys) }).toEqual({ cwd: '/', env: 1 });
    expect(calls).toBe(1);
  });

  test('defaults that are the prototype count, and their keys are checked', () => {
    expect({ ...parseObject(Object.create({ cwd: '/a', env: 1 }, { cwd: { value: '/b' } }), '', keys) }).toEqual({ cwd: '/b', env: 1 });
    expect(thrown(() => parseObject(Object.create({ cdw: '/a' }), '', keys))).toMatchObject({ path: 'cdw' });
  });

  test('properties of Object.prototype do not count, also in another realm', () => {
    const foreign = runInNewContext('Object.prototype.env = "polluted"; Object.prototype.x = 1; ({ cwd: "/" })');
    for (const value of [{ cwd: '/' }, foreign, Object.assign(Object.create(null), { cwd: '/' })]) {
      expect({ ...parseObject(value, '', keys) }).toEqual({ cwd: '/' });
      expect({ ...parseRecord(value, '') }).toEqual({ cwd: '/' });
    }
  });

  test('a prototype without a prototype of its own is not mistaken for Object.prototype', () => {
    const defaults = Object.assign(Object.create(null), { cwd: '/', toString: () => '' });
    expect(parseObject(Object.create(defaults), '', keys)).toMatchObject({ cwd: '/', toString: expect.any(Function) });
  });

  test('a key __proto__ is a key like any other', () => {
    const given = JSON.parse('{"__proto__": {"cwd": "/"}}');
    expect(thrown(() => parseObject(given, '', keys))).toMatchObject({ path: '__proto__' });
    const record = parseRecord(given, 'env');
    expect([Object.keys(record), Object.getPrototypeOf(record)]).toEqual([['__proto__'], null]);
  });

  test('a record has the properties and accessors of a class, but not its methods', () => {
    class Variables {
      A = '1';
      get B() {
        return '2';
      }
      method() {
        return '3';
      }
    }
    expect({ ...parseRecord(new Variables(), 'env') }).toEqual({ A: '1', B: '2' });
    expect({ ...parseRecord(Object.defineProperty({ A: '1' }, 'hidden', { value: 1 }), 'env') }).toEqual({ A: '1' });
  });
});

describe('suggestions for an unknown key', () => {
  test.each([
    ['HOSTNAME', 'hostname'],
    ['hotsname', 'hostname'],
    ['hostnames', 'hostname'],
    ['hstnme', 'hostname'],
    ['CWD', 'cwd'],
    ['cwds', 'cwd'],
  ])('%s is similar to %s', (key, name) => {
    expect(thrown(() => parseObject({ [key]: 1 }, '', ['cwd', 'hostname'])).message).toBe(
      `${key}: unknown option; did you mean '${name}'? known options: cwd, hostname`,
    );
  });

  test.each(['pwd', 'hstnm', 'hostnameXXX', 'homepage'])('%s is similar to no name', (key) => {
    expect(thrown(() => parseObject({ [key]: 1 }, '', ['cwd', 'hostname'])).message).toBe(
      `${key}: unknown option; known options: cwd, hostname`,
    );
  });
});

describe('values of other realms', () => {
  test('bytes are recognized', () => {
    expect([new Uint8Array(1), Buffer.alloc(1), runInNewContext('new Uint8Array(1)')].map(isBytes)).toEqual([true, true, true]);
    expect([[1], 'a', new Uint16Array(1), new ArrayBuffer(1), null].map(isBytes)).toEqual(Array(5).fill(false));
  });

  test('a URL is recognized', () => {
    expect([new URL('file:///a'), { [Symbol.toStringTag]: 'URL' }].map(isUrl)).toEqual([true, true]);
    expect(['file:///a', null, undefined, {}, { href: 'file:///a' }].map(isUrl)).toEqual(Array(5).fill(false));
  });

  test('an array is accepted; a hole is undefined even if its prototype has the index, and a proxy is refused', () => {
    expect(parseArray(runInNewContext('[1, 2]'), 'args')).toEqual([1, 2]);
    const hole = Object.setPrototypeOf(new Array(1), { 0: 'inherited', __proto__: Array.prototype });
    expect(parseArray(hole, 'args')).toEqual([undefined]);
    expect(thrown(() => parseArray(new Proxy([], {}), 'args'))).toMatchObject({
      path: 'args',
      code: 'ERR_INVALID_ARG_TYPE',
      message: expect.stringMatching(/received a proxy$/),
    });
  });

  test('a signal is any object with the interface of an AbortSignal', () => {
    const like = { aborted: false, addEventListener: () => undefined };
    const { signal } = new AbortController();
    expect([parseSignal(signal), parseSignal(like)]).toEqual([signal, like]);
    for (const value of [undefined, null, {}, 'abort', { aborted: false }, { aborted: 0, addEventListener: () => undefined }])
      expect(thrown(() => parseSignal(value))).toMatchObject({ path: 'signal', message: 'signal: expected an AbortSignal' });
  });
});

test('a file URL with a host is not a path of this machine', () => {
  expect(thrown(() => parseHostPath(new URL('file://server/a'), 'cwd'))).toMatchObject({
    path: 'cwd',
    message: expect.stringContaining("'file://server/a'"),
  });
});

test('a path component of 255 bytes is accepted, counted in bytes and not in characters', () => {
  expect(parseTarget(`/${'x'.repeat(255)}`, 'at')).toHaveLength(256);
  expect(thrown(() => parseTarget(`/${'ü'.repeat(128)}`, 'at')).message).toBe('at: a path component is longer than 255 bytes');
});

test('freezing skips bytes and primitive values, and stops at a cycle', () => {
  const bytes = new Uint8Array([1]);
  const data: { bytes: Uint8Array; self?: unknown } = { bytes };
  data.self = data;
  expect(Object.isFrozen(deepFreeze(data))).toBe(true);
  data.bytes[0] = 2;
  expect(bytes).toEqual(new Uint8Array([2]));
  for (const value of [null, undefined, 1, 'a', true]) expect([deepFreeze(value), bare(value)]).toEqual([value, value]);
});

describe('properties of objects and arrays', () => {
  test('the error about a proxy in place of an array says that an array is expected', () => {
    expect(thrown(() => parseArray(new Proxy([], {}), 'args')).message).toMatch(/expected an array, received a proxy/);
  });

  test('a file URL with a NUL is refused because of the NUL', () => {
    expect(thrown(() => parseHostPath(new URL('file:///a%00b'), 'source')).message).toMatch(/NUL|null/i);
    expect(thrown(() => parseHostPath(new URL('file://host/a'), 'source')).message).toMatch(/expected a file: URL/);
  });

  test('a property of Object.prototype does not turn methods into values', () => {
    const prototype = Object.prototype as { get?: unknown };
    prototype.get = () => undefined;
    try {
      class Given {
        readonly A = '1';
      }
      expect(Object.keys(parseRecord(new Given(), 'env'))).toEqual(['A']);
    } finally {
      delete prototype.get;
    }
  });

  test('data below a frozen object is frozen too, and cycles end', () => {
    const inner = { b: 1 };
    deepFreeze(Object.freeze({ inner }));
    expect([Object.isFrozen(inner), Object.getPrototypeOf(inner)]).toEqual([true, null]);
    const circle: { self?: unknown } = {};
    circle.self = circle;
    expect(Object.isFrozen(deepFreeze(circle))).toBe(true);
  });
});
