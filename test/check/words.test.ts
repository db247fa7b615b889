// Tests the checker of wording in code, comments and guides.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '../support/host';

function check(text: string, name = 'guide.md'): readonly [status: number | null, found: string] {
  const directory = temporaryDirectory();
  try {
    const path = join(directory.path, name);
    writeFileSync(path, text);
    const { status, stderr } = spawnSync(process.execPath, [join(process.cwd(), 'scripts/check/words.mjs'), path], { encoding: 'utf8' });
    return [status, stderr];
  } finally {
    directory.remove();
  }
}

test('plain text passes', () => {
  expect(check('The cgroup of a long-lived sandbox.\n')).toEqual([0, '']);
});

test.each([
  'a control group',
  'Control groups',
  'a sandbox that stays',
  'a folder',
  'a supervisor',
  'a scene',
  'asks in vain',
  'is not to be had',
  'of late',
  'tells of it',
  'the dearest',
])('the phrase "%s" is an error', (phrase) => {
  expect(check(`One line.\nIt has ${phrase}.\n`)).toEqual([1, expect.stringMatching(/guide\.md:2: '.*': write /)]);
});

test.each([
  ['guide.md', 'It runs. What it reads is text.'],
  ['guide.md', '| Whoever reads | it |'],
  ['code.ts', '// Of these it takes one.'],
  ['code.ts', '/** Who calls it waits. */'],
  ['code.cc', '// It waits: whatever comes.'.replace('whatever', 'Whatever')],
])('%s: %s is an error, because a sentence begins with its subject', (name, line) => {
  expect(check(`${line}\n`, name)).toEqual([1, expect.stringContaining('name its subject')]);
});

test('questions and headings may begin with such words, and code is not checked', () => {
  expect(check('# What it reads\nWhat does it read?\n| What does it read? | text |\n')).toEqual([0, '']);
  expect(check("const text = 'What it reads.';\n", 'code.ts')).toEqual([0, '']);
});

test('a comment of more than 120 columns is an error', () => {
  const line = (width: number) => `// ${'x'.repeat(width - 3)}\n`;
  expect(check(line(120), 'code.ts')).toEqual([0, '']);
  expect(check(line(121), 'code.ts')).toEqual([1, expect.stringContaining('a comment of 121 columns')]);
});
