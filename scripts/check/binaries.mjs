// Checks the built binaries: the launcher needs no library and is small, the addon runs on old systems and exports only
// its two entry points.
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';

const [launcher = 'build/Release/nsjs-launcher', addon = 'build/Release/nsjs.node', nm = 'nm', readelf = 'readelf'] = process.argv.slice(2);
const limits = { launcher: 32 * 1024, addon: 300 * 1024, glibc: [2, 28] };
const problems = [];
const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

function checkSize(path, limit) {
  const { size } = statSync(path);
  console.log(`${path}: ${size} bytes of ${limit}`);
  if (size > limit) problems.push(`${path} has ${size} bytes, the limit is ${limit}`);
}

checkSize(launcher, limits.launcher);
checkSize(addon, limits.addon);
const undefinedSymbols = run(nm, '-u', launcher).trim();
if (undefinedSymbols !== '') problems.push(`the launcher needs ${undefinedSymbols}`);
if (/NEEDED|INTERP/.test(run(readelf, '-dlW', launcher))) problems.push('the launcher is not static');

const versions = [...run(nm, '-D', '--undefined-only', addon).matchAll(/@GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) => [
  Number(major),
  Number(minor),
]);
const highest = versions.sort((a, b) => a[0] - b[0] || a[1] - b[1]).at(-1) ?? [0, 0];
console.log(`${addon}: glibc ${highest.join('.')} or later`);
if (highest[0] > limits.glibc[0] || highest[1] > limits.glibc[1])
  problems.push(`the addon needs glibc ${highest.join('.')}, the floor is ${limits.glibc.join('.')}`);
const exported = run(nm, '-D', '--defined-only', addon)
  .trim()
  .split('\n')
  .map((line) => line.split(' ').at(-1));
const stray = exported.filter((name) => !/^(napi_register_module_v1|node_api_module_get_api_version_v1)(@|$)/.test(name));
if (stray.length > 0) problems.push(`the addon exports ${stray.join(', ')}`);

for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
