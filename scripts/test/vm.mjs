// vm.mjs [PATTERN …]: runs the tests of kernel features in guests with pure cgroup version 2 (test/vm), as root and as
// a user with a delegated cgroup; with patterns only the matching tests. The last line has the totals. Prints
// `skipped:` and exits with 77 if there is no kernel to boot.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cache, jest, runInGuest, userId } from './guest.mjs';

const seconds = 900;
const countFile = process.argv.find((word) => word.startsWith('--count='))?.slice('--count='.length);
const patterns = process.argv.slice(2).filter((word) => !word.startsWith('--'));
// `--subset`, for CI: the suites in which the versions of cgroups differ. The others also run on the host, and
// `npm run test:vm` runs all of them.
const isSubset = process.argv.includes('--subset');
const chosen = patterns.length > 0 ? patterns : ['features/limits', 'dist-test/kernel/limits'];
const limits = (...names) => ['features/limits', ...names.map((name) => `dist-test/kernel/limits/${name}`)];
const perVersion = [
  'cgroups',
  'core-pattern',
  'disk',
  'enforced',
  'kernel-memory',
  'program-limits',
  'stats',
  'systemd',
  'time',
  'update',
  'usage',
];
const ofRoot = [...(isSubset ? limits(...perVersion) : chosen), 'features/mounts'];
const ofUser = limits('enforced', 'cgroups', 'usage');

/**
 * The kernels, and the tests that each runs as root and as a user. Debian's kernel is the oldest that is supported; the
 * other one has more features.
 */
const kernels = process.env.NSJS_VM_KERNEL
  ? [{ path: process.env.NSJS_VM_KERNEL, root: chosen, user: chosen }]
  : [
      { path: join(cache, '6.1'), root: patterns.length > 0 ? chosen : ofRoot, user: isSubset ? ofUser : chosen },
      { path: join(cache, 'default'), root: patterns.length > 0 ? chosen : ['features/limits'], user: [] },
    ];

const there = kernels.filter(({ path }) => existsSync(join(path, 'vmlinuz')));
for (const { path } of kernels)
  if (!existsSync(join(path, 'vmlinuz'))) console.log(`skipped: guest kernel ${path} (see test/vm/README.md)`);
if (process.geteuid() !== 0 || there.length === 0) {
  if (there.length > 0) console.log('skipped: guest kernels need root');
  process.exit(77);
}

const command = (list) => [process.execPath, ...jest, ...list].join(' ');
const directory = process.cwd();
// The guest has its own /tmp, so a checkout below /tmp must be bound into it.
const visible = directory.startsWith('/tmp/') ? ['-b', `/tmp/${directory.split('/')[2]}`] : [];
const totals = { passed: 0, failed: 0, skipped: kernels.length - there.length };
const run = (title, kernel, line) => runInGuest(totals, title, ['-k', kernel, '-t', `${seconds}`, ...visible], line);

for (const { path, root, user } of there) {
  if (root.length > 0) await run(`${path}, root`, path, `mkdir -p /run/systemd/system && cd ${directory} && ${command(root)}`);
  if (user.length > 0) await run(`${path}, a user`, path, `sh ${directory}/test/vm/delegated.sh ${userId} ${directory} ${command(user)}`);
}
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
if (countFile) writeFileSync(countFile, JSON.stringify(totals));
process.exit(totals.failed === 0 ? 0 : 1);
