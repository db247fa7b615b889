// Whether paths on the host still resolve to the same files, judged by the directories that contain them.
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { areSameFiles, identify, KnownFiles } from '../../../dist/host/file-ids';
import { temporaryDirectory } from '../../support';

let directory: ReturnType<typeof temporaryDirectory>;
const at = (...names: readonly string[]): string => join(directory.path, ...names);
beforeEach(() => {
  directory = temporaryDirectory();
  mkdirSync(at('a'));
  mkdirSync(at('b'));
  writeFileSync(at('a/file'), 'one');
  writeFileSync(at('b/file'), 'two');
  symlinkSync('a/file', at('link'));
  symlinkSync('a', at('way'));
});
afterEach(() => directory.remove());

const replace = (name: string): void => {
  writeFileSync(at('new'), 'three');
  renameSync(at('new'), at(name));
};

test.each([
  ['a file is replaced', () => replace('a/file')],
  ['a file is removed', () => rmSync(at('a/file'))],
  ['its directory is another one', () => [renameSync(at('a'), at('c')), renameSync(at('b'), at('a'))]],
  ['what a link leads to is replaced', () => replace('a/file')],
  ['a link leads elsewhere', () => [rmSync(at('link')), symlinkSync('b/file', at('link'))]],
  ['a directory on the way is a link that leads elsewhere', () => [rmSync(at('way')), symlinkSync('b', at('way'))]],
] as const)('a change is detected if %s', (_, change) => {
  const known = new KnownFiles([at('a/file'), at('link'), at('way/file')]);
  expect(known.areSame()).toBe(true);
  change();
  expect([known.areSame(), known.areSame()]).toEqual([false, false]);
});

test('a file that was moved and replaced by a link to it is followed through the link', () => {
  const known = new KnownFiles([at('a/file')]);
  expect(known.areSame()).toBe(true);
  renameSync(at('a/file'), at('b/moved'));
  symlinkSync('../b/moved', at('a/file'));
  expect(known.areSame()).toBe(true);
  replace('b/moved');
  expect(known.areSame()).toBe(false);
});

test('writes to a file and other files in its directory do not count as a change', () => {
  const known = new KnownFiles([at('a/file'), at('link')]);
  writeFileSync(at('a/file'), 'more');
  expect(known.areSame()).toBe(true);
  writeFileSync(at('a/other'), '');
  expect(known.areSame()).toBe(true);
  rmSync(at('a/other'));
  expect(known.areSame()).toBe(true);
});

test('a replacement is detected even after many recent checks found no change', async () => {
  const known = new KnownFiles([at('a/file')]);
  for (let round = 0; round < 50; round++) {
    expect(known.areSame()).toBe(true);
    if (round % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 120));
  }
  replace('a/file');
  expect(known.areSame()).toBe(false);
});

test('with timestamps, a change in place counts as a different file', async () => {
  const [timed, untimed] = [identify([at('a')], 1), identify([at('a')])];
  await new Promise((resolve) => setTimeout(resolve, 20));
  utimesSync(at('a'), 1, 1);
  expect([areSameFiles(timed), areSameFiles(untimed)]).toEqual([false, true]);
  expect([...identify([at('none')], 1).ids]).toEqual([0n, 0n, 0n]);
});
