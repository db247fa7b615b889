// The checker of words: what it forbids in code, comments and guides.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../support';

function check(text: string): readonly [status: number | null, found: string] {
  const folder = temporaryFolder();
  try {
    const path = join(folder.path, 'guide.md');
    writeFileSync(path, text);
    const { status, stderr } = spawnSync(process.execPath, [join(process.cwd(), 'scripts/check/words.mjs'), path], { encoding: 'utf8' });
    return [status, stderr];
  } finally {
    folder.remove();
  }
}

test('plain text passes', () => {
  expect(check('The cgroup of a long-lived sandbox.\n')).toEqual([0, '']);
});

test.each([
  'a control group',
  'Control groups',
  'a sandbox that stays',
  'asks in vain',
  'is not to be had',
  'of late',
  'tells of it',
  'the dearest',
])('%s does not', (phrase) => {
  expect(check(`One line.\nIt has ${phrase}.\n`)).toEqual([1, expect.stringMatching(/guide\.md:2: '.*': write /)]);
});
