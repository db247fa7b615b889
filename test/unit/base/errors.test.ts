import { AbortError, errnoName, isNsjsError, NsError, OptionError, OptionRangeError, SysError } from '../../../dist/base/errors';

test('a system error has the properties of those of Node', () => {
  const error = new SysError({
    errno: 1,
    syscall: 'mount',
    origin: 'mounts[2]',
    path: '/srv',
    hint: 'bind it',
    spawnargs: ['-c'],
  });
  expect(error).toMatchObject({
    code: 'EPERM',
    errno: -1,
    syscall: 'mount',
    origin: 'mounts[2]',
    path: '/srv',
    hint: 'bind it',
    spawnargs: ['-c'],
  });
  expect(error.message).toBe('mounts[2]: mount EPERM: operation not permitted, /srv (bind it)');
});

test('the message of a system error has only known parts, and a path once', () => {
  expect(new SysError({ errno: 2, syscall: 'spawn /none', path: '/none' }).message).toBe('spawn /none ENOENT: no such file or directory');
  const bare = new SysError({ errno: 5000, syscall: 'x' });
  expect(bare.message).toBe('x errno 5000: see errno(3)');
  expect(bare.hint).toBeUndefined();
});

test('errno numbers have names', () => {
  expect([1, 38, 5000].map(errnoName)).toEqual(['EPERM', 'ENOSYS', 'errno 5000']);
});

test('errors of nsjs are recognized in every realm', () => {
  const errors = [
    new OptionError('a', 'b'),
    new OptionRangeError('a', 'b'),
    new NsError('ERR_NSJS_CLOSED', 'c', { hint: 'd', cause: 1 }),
    new SysError({ errno: 1, syscall: 'x' }),
    { name: 'ExitError' },
  ];
  for (const error of errors) expect(isNsjsError(error)).toBe(true);
  for (const other of [undefined, null, 'OptionError', {}, new Error('x'), new AbortError('why')]) expect(isNsjsError(other)).toBe(false);
});

test('the message contains the hint, and a cause is kept even if it is undefined', () => {
  expect(new NsError('ERR_NSJS_CLOSED', 'closed', { hint: 'open another' })).toMatchObject({
    message: 'closed (open another)',
    hint: 'open another',
  });
  const bare = new NsError('ERR_NSJS_CLOSED', 'closed');
  expect([bare.message, 'cause' in bare, bare.hint]).toEqual(['closed', false, undefined]);
  expect('cause' in new NsError('ERR_NSJS_CLOSED', 'closed', { cause: undefined })).toBe(true);
  expect(new AbortError('why')).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: 'why' });
});

test('properties that other code added to Object.prototype are in no error', () => {
  const names = ['hint', 'cause', 'origin', 'path', 'spawnargs'];
  for (const name of names) Object.defineProperty(Object.prototype, name, { value: 'planted', configurable: true });
  try {
    for (const error of [new NsError('ERR_NSJS_CLOSED', 'closed'), new SysError({ errno: 2, syscall: 'open' })]) {
      expect(error.message).not.toContain('planted');
      expect(Object.keys(error)).toEqual(expect.not.arrayContaining(names));
    }
  } finally {
    for (const name of names) Reflect.deleteProperty(Object.prototype, name);
  }
});
