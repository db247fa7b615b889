import { host } from '../../../dist/host/host';
import { cappedRlimits, mergeOption, mergeOptions, readOptions, sandboxKeys } from '../../../dist/options/merge';
import { thrown } from '../../support/host';

const merged = (base: object, changes: object) => ({ ...mergeOptions(base, changes) });

test('undefined counts as absent in both inputs', () => {
  expect(merged({ limits: { memory: '1M' } }, { limits: undefined })).toEqual({ limits: { memory: '1M' } });
  expect(merged({ limits: { memory: '1M' } }, { limits: { memory: undefined } })).toEqual({ limits: { memory: '1M' } });
  expect(merged({ limits: undefined }, { limits: { pids: 1 } })).toEqual({ limits: { pids: 1 } });
  expect(Object.keys(merged({ hostname: undefined }, {}))).toEqual([]);
});

test('undefined in env removes a variable', () => {
  expect(merged({ env: { A: '1', B: '2' } }, { env: { A: undefined } })).toEqual({ env: { A: undefined, B: '2' } });
});

test.each(['namespaces', 'user', 'limits', 'rlimits', 'scratch'])('%s is merged key by key', (key) => {
  expect(mergeOption(key, { a: 1, b: 2 }, { b: 3 })).toEqual({ a: 1, b: 3 });
});

test('mounts are appended, and all other options are replaced', () => {
  expect(mergeOption('mounts', [1], [2, 3])).toEqual([1, 2, 3]);
  expect(mergeOption('mounts', [1], 'wrong')).toBe('wrong');
  expect(mergeOption('mounts', 'wrong', [2])).toEqual([2]);
  expect(mergeOption('capabilities', ['CAP_KILL'], ['CAP_CHOWN'])).toEqual(['CAP_CHOWN']);
  expect(mergeOption('hostname', 'a', 'b')).toBe('b');
});

test('a value that is not an object replaces the base, and is refused when it is parsed', () => {
  for (const wrong of [1, 'x', null, [1]]) expect(mergeOption('limits', { memory: 1 }, wrong)).toBe(wrong);
  expect(mergeOption('limits', null, { memory: 1 })).toEqual({ memory: 1 });
  expect(mergeOption('user', [], { uid: 1 })).toEqual({ uid: 1 });
});

test('neither input is changed, and the result inherits nothing', () => {
  const base = Object.freeze({ limits: Object.freeze({ memory: 1 }) });
  const all = mergeOptions(base, Object.freeze({ limits: Object.freeze({ pids: 2 }) }));
  expect([Object.getPrototypeOf(all), Object.getPrototypeOf(all.limits)]).toEqual([null, null]);
});

test('unknown options are errors that suggest a name', () => {
  expect(thrown(() => readOptions({ hostnam: 'x' })).message).toContain('hostname');
});

test('all options are read, each once, and undefined ones are left out', () => {
  let calls = 0;
  const given = Object.defineProperty({ hostname: undefined, preset: 'node' }, 'cwd', {
    enumerable: true,
    get: () => {
      calls++;
      return '/';
    },
  });
  expect({ ...readOptions(given) }).toEqual({ preset: 'node', cwd: '/' });
  expect(calls).toBe(1);
  expect(Object.keys(readOptions(Object.fromEntries(sandboxKeys.map((key) => [key, 1]))))).toEqual([...sandboxKeys]);
});

test('options that are not an object are refused', () => {
  for (const wrong of [null, [], 'node', new Map()]) expect(thrown(() => mergeOptions({}, wrong))).toMatchObject({ path: 'options' });
});

describe('rlimits of a preset', () => {
  test('without rlimits there are none, and limits below those of this process stay as they are', () => {
    expect({ ...cappedRlimits() }).toEqual({});
    expect({ ...cappedRlimits({ core: 0, memlock: 0, unheardOf: 5 } as object) }).toEqual({ core: 0, memlock: 0, unheardOf: 5 });
  });

  test('limits above the hard limits of this process are capped', () => {
    const { hardLimits, privileged } = host();
    const most = (name: string, divisor: number) => Math.max(1, Math.floor((hardLimits[name] ?? Number.POSITIVE_INFINITY) / divisor));
    const base = { nofile: 2 ** 52, msgqueue: 2 ** 52 };
    expect({ ...cappedRlimits(base) }).toEqual({
      nofile: Math.min(base.nofile, most('nofile', 1)),
      msgqueue: Math.min(base.msgqueue, most('msgqueue', privileged ? 1 : 8)),
    });
  });
});

test('mounts are appended without calling the iterator of the base array', () => {
  const base = Object.assign([1], {
    *[Symbol.iterator]() {
      yield 9;
      yield 9;
    },
  });
  expect(mergeOption('mounts', base, [2])).toEqual([1, 2]);
});
