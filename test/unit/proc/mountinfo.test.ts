import { parseMountLines, visibleMounts } from '../../../dist/proc/mountinfo';

test('mounts are read in their order', () => {
  const text = [
    '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro',
    '23 22 0:21 /sub /proc ro,nosuid,nodev - proc proc rw',
    '24 22 0:22 / /run rw shared:5 master:2 - tmpfs tmpfs rw',
    '',
  ].join('\n');
  expect(parseMountLines(text)).toEqual([
    {
      id: 22,
      parent: 1,
      device: '8:1',
      root: '/',
      target: '/',
      flags: ['rw', 'relatime'],
      type: 'ext4',
      options: ['rw', 'errors=remount-ro'],
    },
    { id: 23, parent: 22, device: '0:21', root: '/sub', target: '/proc', flags: ['ro', 'nosuid', 'nodev'], type: 'proc', options: ['rw'] },
    { id: 24, parent: 22, device: '0:22', root: '/', target: '/run', flags: ['rw'], type: 'tmpfs', options: ['rw'] },
  ]);
});

test('escaped characters in paths are read', () => {
  expect(parseMountLines('1 0 8:1 /a\\040b /c\\134d\\011e\\012f\\043 rw - ext4 /dev/sda1 rw')).toMatchObject([
    { root: '/a b', target: '/c\\d\te\nf#' },
  ]);
});

test.each(['\\04', '\\999', '\\0a0'])('%s is not an escaped character', (text) => {
  expect(parseMountLines(`1 0 8:1 / /${text} rw - ext4 none rw`)).toMatchObject([{ target: `/${text}` }]);
});

test.each(['', '1 0 8:1 / /a', '1 0 8:1 - ext4 none rw', 'text'])('the malformed line %p is skipped', (line) => {
  expect(parseMountLines(`${line}\n2 0 8:1 / /b rw - ext4 none rw`).map(({ target }) => target)).toEqual(['/b']);
});

test('the type of a line without one is empty', () => {
  expect(parseMountLines('1 0 8:1 / /a rw')).toEqual([
    { id: 1, parent: 0, device: '8:1', root: '/', target: '/a', flags: ['rw'], type: '', options: [''] },
  ]);
});

describe('visible mounts', () => {
  /** Mounts by `id parent target`, in any order, as the kernel lists them. */
  const visible = (...mounts: readonly string[]) =>
    visibleMounts(
      parseMountLines(mounts.map((mount) => mount.replace(/^(\d+ \d+) (.*)$/, '$1 0:1 / $2 rw - tmpfs none rw')).join('\n')),
    ).map(({ id }) => id);

  test.each<[string, readonly string[], readonly number[]]>([
    ['mounts beside and below each other', ['1 0 /', '2 1 /a', '3 2 /a/b', '4 1 /ab'], [1, 2, 3, 4]],
    ['one on the root directory of another', ['3 2 /a', '1 0 /', '2 1 /a'], [3, 1]],
    ['one over a directory in which another is mounted', ['1 0 /', '2 1 /a/b/c', '3 1 /a/b'], [1, 3]],
    ['what is mounted below a hidden one', ['1 0 /', '2 1 /a/b', '3 2 /a/b/c', '4 1 /a'], [1, 4]],
    ['what was mounted in one before its root was covered', ['1 0 /', '2 1 /a', '3 2 /a/b', '4 2 /a'], [1, 4]],
    ['one below a mount that was there before', ['1 0 /', '2 1 /a', '3 2 /a/b'], [1, 2, 3]],
    ['mounts whose parents are not visible', ['5 4 /', '6 4 /a'], [5, 6]],
    ["mounts that are each other's parents", ['1 2 /a', '2 1 /b'], [1, 2]],
    ['a mount that is its own parent', ['1 1 /', '2 1 /a'], [1, 2]],
  ])('%s', (_, mounts, expected) => {
    expect(visible(...mounts)).toEqual(expected);
  });
});
