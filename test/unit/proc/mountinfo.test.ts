import { parseMountLines } from '../../../dist/proc/mountinfo';

test('mounts are read in their order', () => {
  const text = [
    '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro',
    '23 22 0:21 /sub /proc ro,nosuid,nodev - proc proc rw',
    '24 22 0:22 / /run rw shared:5 master:2 - tmpfs tmpfs rw',
    '',
  ].join('\n');
  expect(parseMountLines(text)).toEqual([
    { device: '8:1', root: '/', target: '/', flags: ['rw', 'relatime'], type: 'ext4', options: ['rw', 'errors=remount-ro'] },
    { device: '0:21', root: '/sub', target: '/proc', flags: ['ro', 'nosuid', 'nodev'], type: 'proc', options: ['rw'] },
    { device: '0:22', root: '/', target: '/run', flags: ['rw'], type: 'tmpfs', options: ['rw'] },
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
  expect(parseMountLines('1 0 8:1 / /a rw')).toEqual([{ device: '8:1', root: '/', target: '/a', flags: ['rw'], type: '', options: [''] }]);
});
