// Prints the branch coverage that the unit layer left in build/coverage, by directory of lib. Fails below the limit.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const limit = 90;
// With fewer branches, one that cannot be reached is several percent.
const fewBranches = 20;
const file = 'build/coverage/coverage-final.json';

const totals = new Map();
for (const [path, { b: branches }] of Object.entries(JSON.parse(readFileSync(file, 'utf8')))) {
  const directory = relative('lib', path).split('/')[0];
  const counts = Object.values(branches).flat();
  const { covered = 0, all = 0 } = totals.get(directory) ?? {};
  totals.set(directory, { covered: covered + counts.filter((count) => count > 0).length, all: all + counts.length });
}

const percent = ({ covered, all }) => (all === 0 ? 100 : (100 * covered) / all);
const sum = [...totals.values()].reduce((one, other) => ({ covered: one.covered + other.covered, all: one.all + other.all }));
let low = 0;
for (const [directory, counts] of [...totals].sort().concat([['all', sum]])) {
  const isLow = percent(counts) < limit && counts.all >= fewBranches;
  if (isLow) low++;
  console.log(
    `branches   ${directory.padEnd(10)}${percent(counts).toFixed(1).padStart(6)} % of ${counts.all}${isLow ? `: the limit is ${limit} %` : ''}`,
  );
}
process.exit(low === 0 ? 0 : 1);
