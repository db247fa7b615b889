// Checks the wording of code, comments and guides: one word for one thing, sentences in plain English, comments of at
// most 120 columns. `words.mjs FILE …` checks these files alone.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const maxWidth = 120;

/** Words and phrases that are not used, and their replacement. The third value limits a rule to matching files. */
const words = [
  [/\bcontrol groups?\b/i, 'cgroup'],
  [/\bsandbox(es)? that stays?\b/i, 'long-lived sandbox'],
  [/\bsolo\b/i, 'one-shot run'],
  // An option of api-extractor has this name.
  [/(?<!\bproject)folder/i, 'directory'],
  [/\bsupervisor\b(?!.*seccomp_unotify)/i, 'launcher, keeper or init'],
  [/\bscenes?\b/i, 'context'],
  [/\bway out\b/i, 'egress', /^(lib|src)\//],
  [/\bin vain\b/i, 'without success; say what was denied'],
  [/\b(is|are|was) (not )?to be had\b/i, 'is (not) available'],
  [/\bof late\b/i, 'recently'],
  [/\b(tell|tells|told) of\b/i, 'reports'],
  [/\bwithout a word\b/i, 'without a report'],
  [/\bdearest\b/i, 'slowest, or most expensive'],
];

// A nominal clause as the subject of a sentence: name the thing instead. Questions may begin so.
const opening = /^(What|Who|Whoever|Whatever|Whose|Of)\b[^?]*$/;
const comment = /^\s*(?:\/\/|\/\*\*?|\*)\s?(.*)$/;
const sentenceEnd = /(?<=[.:;?]) +/;
const generated = /\/tables\/|docs\/options\.md$|test\/check\/words\.test\.ts$|test\/data\//;

function* problemsOf(file, line) {
  for (const [pattern, instead, where] of words) {
    const match = where && !where.test(file) ? undefined : pattern.exec(line);
    if (match) yield `'${match[0]}': write ${instead}`;
  }
  const inCode = file.endsWith('.md') ? undefined : comment.exec(line)?.[1];
  if (inCode !== undefined && line.length > maxWidth) yield `a comment of ${line.length} columns: the limit is ${maxWidth}`;
  // A guide has a paragraph, or a row of cells, in each line.
  if (line.startsWith('#')) return;
  const prose = file.endsWith('.md') ? line.split('|').map((cell) => cell.replace(/^[-*>#\d. ]+/, '')) : [inCode ?? ''];
  const found = prose.flatMap((text) => text.split(sentenceEnd)).find((text) => opening.test(text));
  if (found !== undefined) yield `a sentence that begins with '${opening.exec(found)[1]}': name its subject`;
}

const tracked = () =>
  spawnSync('git', ['ls-files', 'lib', 'src', 'test', 'docs', 'bench', 'scripts', 'examples', '*.md'], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter(Boolean);
const files = process.argv.length > 2 ? process.argv.slice(2) : tracked();

let count = 0;
for (const file of new Set(files)) {
  if (!/\.(ts|mjs|cc|c|h|def|md)$/.test(file) || file.endsWith('check/words.mjs') || generated.test(file)) continue;
  for (const [index, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    for (const problem of problemsOf(file, line)) {
      count++;
      console.error(`${file}:${index + 1}: ${problem}`);
    }
  }
}
process.exit(count === 0 ? 0 : 1);
