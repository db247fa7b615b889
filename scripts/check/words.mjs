// One thing = one word, and plain English: words and phrases that the code, its comments and the guides do not use. `words.mjs FILE …` checks
// these files alone.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What is not written, and what is written instead. */
const words = [
  [/\bcontrol groups?\b/i, 'cgroup'],
  [/\bsandbox(es)? that stays?\b/i, 'long-lived sandbox'],
  [/\bsolo\b/i, 'one-shot run'],
  [/\bway out\b/i, 'egress', /^(lib|src)\//],
  [/\bin vain\b/i, 'without success; say what was denied'],
  [/\b(is|are|was) (not )?to be had\b/i, 'is (not) available'],
  [/\bof late\b/i, 'recently'],
  [/\b(tell|tells|told) of\b/i, 'reports'],
  [/\bwithout a word\b/i, 'without a report'],
  [/\bdearest\b/i, 'slowest, or most expensive'],
];

const tracked = () =>
  spawnSync('git', ['ls-files', 'lib', 'src', 'docs', 'bench', 'scripts', 'examples', '*.md'], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter(Boolean);
const files = process.argv.length > 2 ? process.argv.slice(2) : tracked();

let found = 0;
for (const file of new Set(files)) {
  if (!/\.(ts|mjs|cc|h|def|md)$/.test(file) || file.endsWith('check/words.mjs')) continue;
  for (const [index, line] of readFileSync(file, 'utf8').split('\n').entries())
    for (const [pattern, instead, where] of words) {
      const match = where && !where.test(file) ? undefined : pattern.exec(line);
      if (!match) continue;
      found++;
      console.error(`${file}:${index + 1}: '${match[0]}': write ${instead}`);
    }
}
process.exit(found === 0 ? 0 : 1);
