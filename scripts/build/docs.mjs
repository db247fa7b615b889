// Generates docs/options.md from the doc comments of lib/features: one section for each option. `--check` only
// compares.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const directory = 'lib/features';
const files = [
  ...readdirSync(directory, { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${directory}/${name}`),
  'lib/options/options.ts',
  'lib/run/types.ts',
];

// Interfaces whose members are options of the sandbox or of the run; other interfaces describe the values of options.
const owners = [
  ...readFileSync(`${directory}/index.ts`, 'utf8')
    .match(/export interface SandboxOptions\s+extends ([^{]+)\{/)[1]
    .split(',')
    .map((name) => name.trim()),
  'SandboxOptions',
  'RunOptions',
  'SpawnOptions',
];

const plain = (comment) =>
  comment
    .split('\n')
    .map((line) => line.replace(/^\s*(\/\*\*|\*\/|\*)? ?/, '').replace(/\s*\*\/$/, ''))
    .join('\n')
    .trim();

function options(file) {
  const text = readFileSync(file, 'utf8');
  const interfaces = [...text.matchAll(/export interface (\w+Options)\s+(?:extends [^{]+ )?\{\n(.*?)\n\}/gs)];
  return interfaces
    .filter(([, owner]) => owners.includes(owner))
    .flatMap(([, owner, body]) =>
      [...body.matchAll(/^ {2}(\/\*\*.*?\*\/)\n {2}readonly (\w+)\?: /gms)].map(([, comment, key]) => ({
        key,
        comment: plain(comment),
        isRun: owner === 'RunOptions',
      })),
    );
}

/** The members of an option that has a list of its own: `limits`. */
function entries(name) {
  const text = readFileSync(`${directory}/${name}.ts`, 'utf8');
  const title = name[0].toUpperCase() + name.slice(1);
  const [, about, body] = new RegExp(`(/\\*\\*(?:(?!\\*/).)*\\*/)\\nexport interface ${title} \\{\\n(.*?)\\n\\}`, 's').exec(text);
  const lines = [...body.matchAll(/^ {2}(\/\*\*.*?\*\/)\n {2}readonly (\w+)\?: /gms)];
  return `${plain(about)}\n\n${lines.map(([, comment, key]) => `- \`${key}\`: ${plain(comment).replaceAll('\n', ' ')}`).join('\n')}`;
}
const detailed = ['limits'];

const all = files.flatMap(options).sort((a, b) => (a.key < b.key ? -1 : 1));
const section = (isRun) =>
  all
    .filter((option) => option.isRun === isRun)
    .map(({ key, comment }) => `### ${key}\n\n${comment}\n${detailed.includes(key) ? `\n${entries(key)}\n` : ''}`)
    .join('\n');
const output = `# Options

Generated from the doc comments by \`scripts/build/docs.mjs\`.

## The sandbox

${section(false)}
## The run

${section(true)}`;

if (process.argv.includes('--check')) {
  if (readFileSync('docs/options.md', 'utf8') !== output) {
    console.error('docs/options.md is out of date: run scripts/build/docs.mjs and commit the result');
    process.exit(1);
  }
} else {
  writeFileSync('docs/options.md', output);
}
