import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { directoryOf, isWritable, parseMemberships, parseMounts, readHierarchies, readText } from '../../../dist/cgroup/hierarchies';
import { temporaryDirectory } from '../../support/host';

describe('memberships', () => {
  test('a path may contain colons', () => {
    expect(parseMemberships('0::/user.slice/a:b:c\n')).toEqual([{ controllers: [], path: '/user.slice/a:b:c' }]);
  });

  test.each(['', '\n', '0:', '0:cpu', 'x:cpu:/a', 'cpu:/a'])('%p has no memberships', (text) => {
    expect(parseMemberships(text)).toEqual([]);
  });
});

describe('mounts', () => {
  test('version 2 is parsed with any number of optional fields', () => {
    const mount = { version: 2, directory: '/sys/fs/cgroup', root: '/', options: ['rw', 'nsdelegate'] };
    for (const fields of ['', 'shared:4 ', 'shared:4 master:1 propagate_from:2 '])
      expect(parseMounts(`29 23 0:26 / /sys/fs/cgroup rw,nosuid ${fields}- cgroup2 cgroup2 rw,nsdelegate`)).toEqual([mount]);
  });

  test('escaped spaces, tabs, line breaks and backslashes in paths are parsed', () => {
    const [mount] = parseMounts('29 23 0:26 /a\\134b /c\\040d\\011e\\012f rw - cgroup2 none rw');
    expect(mount).toMatchObject({ root: '/a\\b', directory: '/c d\te\nf' });
  });

  test.each([
    '',
    'malformed',
    '31 1 8:1 / / rw - ext4 /dev/sda1 rw',
    '31 1 8:1 / /cgroup rw',
    '31 1 8:1 / / rw - ext4 cgroup2 rw',
    '31 1 8:1 / / rw - cgroupfs none rw',
  ])('%p is not a cgroup mount', (line) => {
    expect(parseMounts(line)).toEqual([]);
  });
});

describe('the directory of a cgroup', () => {
  const mount = { version: 2, directory: '/sys/fs/cgroup', options: [] } as const;
  test.each([
    ['/', '/', '/sys/fs/cgroup'],
    ['/', '/a/b', '/sys/fs/cgroup/a/b'],
    ['/own', '/own', '/sys/fs/cgroup'],
    ['/own', '/own/a', '/sys/fs/cgroup/a'],
    ['/own', '/other', '/sys/fs/cgroup'],
    ['/../..', '/../../a', '/sys/fs/cgroup/a'],
  ])('with the mount of %s, the cgroup %s is at %s', (root, path, directory) => {
    expect(directoryOf({ ...mount, root }, path)).toBe(directory);
  });
});

describe('files', () => {
  test('a file that cannot be read has no text', () => {
    const directory = temporaryDirectory();
    try {
      const file = join(directory.path, 'cgroup.procs');
      writeFileSync(file, '1\n');
      expect([readText(file), readText(directory.path), readText(join(directory.path, 'none'))]).toEqual(['1\n', '', '']);
      expect([isWritable(file), isWritable(join(directory.path, 'none'))]).toEqual([true, false]);
    } finally {
      directory.remove();
    }
  });

  test('the hierarchies of this process are those of its files', () => {
    const { memberships, mounts } = readHierarchies();
    expect(memberships).toEqual(parseMemberships(readText('/proc/self/cgroup')));
    expect(mounts).toEqual(parseMounts(readText('/proc/self/mountinfo')));
  });
});

test('a path that only begins like the root of a mount is not below it', () => {
  const mount = { version: 1, directory: '/cg', root: '/a', options: [] } as const;
  expect([directoryOf(mount, '/a/b'), directoryOf(mount, '/a'), directoryOf(mount, '/ab/c')]).toEqual(['/cg/b', '/cg', '/cg']);
});
