// Runs the suites of library and network with several versions of Node, from the npm packages `node-linux-*`, as root
// and as a user. `--subset` runs only tests in which versions differed; `matrix.mjs 22 24` uses those versions. The
// last line has the totals.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchNode } from './fetched.mjs';

const isSubset = process.argv.includes('--subset');
const countFile = process.argv.find((word) => word.startsWith('--count='))?.slice('--count='.length);
// The oldest supported version is not in the subset: CI itself runs it.
const chosen = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const versions = chosen.length > 0 ? chosen : isSubset ? ['24', '25'] : ['20', '22', '24', '25'];

// A place that a user can read, and over which no sandbox mounts a file system.
const isRoot = process.geteuid() === 0;
const base = isRoot ? '/opt' : 'node_modules/.cache';
mkdirSync(base, { recursive: true });
const directory = mkdtempSync(join(base, 'nsjs-nodes-'));
chmodSync(directory, 0o755);

const totals = { passed: 0, failed: 0, skipped: 0 };
try {
  for (const version of versions) {
    console.log(`matrix: fetching Node ${version}`);
    const { node, reason } = fetchNode(join(directory, version), version);
    if (!node) {
      console.error(`matrix: Node ${version} could not be fetched: ${reason}`);
      totals.failed++;
      continue;
    }
    console.log(`matrix: Node ${version}`);
    const output = join(directory, `${version}.json`);
    spawnSync(node, ['scripts/test/all.mjs', isSubset ? 'versions' : 'matrix', `--count=${output}`], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const counted = existsSync(output) ? JSON.parse(readFileSync(output, 'utf8')) : { passed: 0, failed: 1, skipped: 0 };
    for (const name of Object.keys(totals)) totals[name] += counted[name];
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
if (countFile) writeFileSync(countFile, JSON.stringify(totals));
process.exit(totals.failed === 0 ? 0 : 1);
