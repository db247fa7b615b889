// arm64.mjs [PATTERN …]: runs the tests of kernel features on an emulated arm64 machine (test/vm), a few files at a
// time, as root and as a user (`--as=root`, `--as=user`: only as one of them); with patterns only the matching files.
// `--subset` runs a few files, for CI. The last line has the totals. Prints `skipped:` and exits with 77 if there is no
// emulator, or the guest cannot be made.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cache, jest, projectFiles, runInGuest, userId } from './guest.mjs';

const prebuilds = 'build/prebuilds';
const addon = `${prebuilds}/linux-arm64/nsjs.node`;
const programs = 'build/arm64/test';
const guest = join(cache, 'arm64');
// The checkout, as the guest sees it, and the copy in which the tests run.
const shared = '/opt/shared';
const project = '/opt/nsjs';

const countFile = process.argv.find((word) => word.startsWith('--count='))?.slice('--count='.length);
const patterns = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const isSubset = process.argv.includes('--subset');
const as = process.argv.find((word) => word.startsWith('--as='))?.slice('--as='.length) ?? 'root,user';

const secondsOfFile = isSubset ? 100 : 900;
const filesAtATime = isSubset ? 5 : 6;
const secondsOfRun = isSubset ? 600 : 5 * 3600;
const subset = ['features/seccomp', 'sys/files', 'sys/primitives'].map((name) => `kernel/${name}.test.js`);
// Directories in which an architecture is most likely to matter come first.
const directories = [
  ...['launch', 'features', 'sys', 'sandbox', 'namespace', 'limits', 'oci', 'probe', 'cli', 'hosts', 'examples'].map(
    (name) => `kernel/${name}`,
  ),
  'security/threats',
  'kernel/network',
];

const debian = [
  ...['base-files', 'base-passwd', 'bash', 'bsdextrautils', 'bsdutils', 'bubblewrap', 'busybox-static', 'coreutils', 'curl', 'dash'],
  ...['debianutils', 'diffutils', 'e2fsprogs', 'findutils', 'gawk', 'git', 'grep', 'gzip', 'iproute2', 'iputils-ping', 'libatomic1'],
  ...['libcap2-bin', 'libstdc++6', 'login', 'mount', 'netbase', 'openssl', 'passt', 'passwd', 'perl', 'procps', 'psmisc', 'python3'],
  ...['runc', 'sed', 'strace', 'tar', 'tcpdump', 'uidmap', 'util-linux', 'xz-utils'],
];

function skip(reason) {
  console.log(`skipped: ${reason}`);
  process.exit(77);
}

/** Makes kernel and root of the guest, unless they are there and made of the same packages by the same scripts. */
function prepare() {
  const resolver = JSON.parse(readFileSync('node_modules/unrs-resolver/package.json', 'utf8')).version;
  // Jest resolves modules with an addon. Node finds this package in a directory above the project.
  const packages = [...debian, `npm:@unrs/resolver-binding-linux-arm64-gnu@${resolver}`];
  const scripts = ['foreign-root.sh', 'vm-setup.sh', 'guest-init'].map((name) => readFileSync(join('test/vm', name)));
  const recipe = createHash('sha256')
    .update([process.versions.node, ...packages, ...scripts].join('\n'))
    .digest('hex');
  const file = join(guest, 'recipe');
  if (existsSync(file) && readFileSync(file, 'utf8') === recipe) return;
  console.log(`arm64: making the guest ${guest}`);
  const { status } = spawnSync('bash', ['test/vm/foreign-root.sh', 'arm64', process.versions.node, guest, ...packages], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) skip(`the arm64 guest ${guest} could not be made`);
  writeFileSync(file, recipe);
}

if (process.geteuid() !== 0) skip('the arm64 guest needs root');
if (spawnSync('qemu-system-aarch64', ['--version']).status !== 0) skip('qemu-system-aarch64: apt-get install qemu-system-arm');
if (!existsSync(addon))
  execFileSync(process.execPath, ['scripts/build/prebuild.mjs', '--arch', 'arm64', '--output', prebuilds], { stdio: 'inherit' });
execFileSync(process.execPath, ['scripts/build/tests.mjs', 'arm64'], { stdio: 'inherit' });
prepare();

const all = directories.flatMap((directory) =>
  readdirSync(join('dist-test', directory))
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => `${directory}/${name}`),
);
const chosen = isSubset ? subset : all.filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)));
const ofNetwork = chosen.filter((file) => file.startsWith('kernel/network/'));
const others = chosen.filter((file) => !ofNetwork.includes(file));

const options = ['-k', guest, '-t', `${secondsOfRun}`, '-s', `${process.cwd()}:${shared}`];
options.push('-e', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
// The copy is on the guest's disk, since sandboxes of root cannot map the owners of files on an overlay.
const install = [
  `mkdir -p ${project}/build/Release && cd ${shared} && cp -r --parents ${projectFiles.join(' ')} ${project}`,
  `ln -s ${shared}/node_modules ${project}`,
  `cp ${addon} ${project}/build/Release/nsjs.node && cp -r ${programs} ${project}/build/test && cd ${project}`,
].join(' && ');
const each = (files) => `sh ${shared}/test/vm/each.sh ${secondsOfFile} ${filesAtATime} node ${jest.join(' ')} -- ${files.join(' ')}`;
const lab = 'unshare --net sh scripts/test/lab.sh';
const userLab = `unshare --user --map-root-user --net sh scripts/test/lab.sh unshare --user --map-user=${userId} --map-group=${userId}`;
const asUser = `sh ${shared}/test/vm/delegated.sh ${userId} ${project}`;
const lines = {
  root: ['mkdir -p /run/systemd/system && ', `${lab} `],
  user: [`${asUser} `, `${asUser} ${userLab} `],
};

const totals = { passed: 0, failed: 0, skipped: 0 };
for (const [name, [plain, inLab]] of Object.entries(lines).filter(([name]) => as.split(',').includes(name))) {
  if (others.length > 0) await runInGuest(totals, `arm64, ${name}`, options, `${install} && ${plain}${each(others)}`);
  if (ofNetwork.length > 0) await runInGuest(totals, `arm64, ${name}: network`, options, `${install} && ${inLab}${each(ofNetwork)}`);
}
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
if (countFile) writeFileSync(countFile, JSON.stringify(totals));
process.exit(totals.failed === 0 ? 0 : 1);
