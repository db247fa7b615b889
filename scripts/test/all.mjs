// Runs every suite in turn and prints one line with the totals at the end. `all.mjs NAME …` runs only those suites.
// When root runs it, the suites that use the kernel run twice: as root, and as a user without privileges.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectFiles } from './guest.mjs';

const isRoot = process.geteuid() === 0;
const userId = 54_321;
const totals = { passed: 0, failed: 0, skipped: 0 };
const skips = new Set();
const work = mkdtempSync(join(tmpdir(), 'nsjs-tests-'));

let countedAt = performance.now();

function count(title, passed, failed, skipped = 0) {
  const seconds = Math.round((performance.now() - countedAt) / 1000);
  countedAt = performance.now();
  totals.passed += passed;
  totals.failed += failed;
  totals.skipped += skipped;
  console.log(`== ${title}: ${passed} passed, ${failed} failed, ${skipped} skipped (${seconds} s)`);
}

// Exit status of a suite that cannot run because the host lacks something. It has printed what is missing.
const missing = 77;

// Several times the duration of the longest suite. A suite that hangs must not prevent the totals.
const suiteTimeoutMs = 20 * 60_000;

/** Runs a command that passes or fails as a whole. */
function check(title, command, args, options = {}) {
  console.log(`== ${title} …`);
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], ...options });
  if (error) console.error(`${command}: ${error.message}`);
  if (status === missing) count(title, 0, 0, 1);
  else count(title, status === 0 ? 1 : 0, status === 0 ? 0 : 1);
}

const node = (title, ...args) => check(title, process.execPath, args);

/** Runs a script that writes the numbers of passed, failed and skipped tests to a file. */
function counting(title, script, ...words) {
  console.log(`== ${title} …`);
  const output = join(work, 'counted.json');
  const { status } = spawnSync(process.execPath, [script, ...words, `--count=${output}`], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status === missing) count(title, 0, 0, 1);
  else if (!existsSync(output)) count(title, 0, 1);
  else {
    const { passed, failed, skipped } = JSON.parse(readFileSync(output, 'utf8'));
    count(title, passed, failed, skipped);
  }
}

function jest(title, patterns, { cwd = process.cwd(), prefix = [], env = {} } = {}) {
  console.log(`== ${title} …`);
  const output = join(cwd === process.cwd() ? work : cwd, `jest-${title.replace(/\W+/g, '-')}.json`);
  const command = [...prefix, process.execPath, 'node_modules/jest/bin/jest.js', '--ci', '--json', `--outputFile=${output}`, ...patterns];
  const { error } = spawnSync(command[0], command.slice(1), {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: suiteTimeoutMs,
    killSignal: 'SIGKILL',
  });
  // After the tests are counted, something that they left may still keep the process running.
  if (error) {
    console.error(`${title}: ${error.code === 'ETIMEDOUT' ? `still running after ${suiteTimeoutMs / 60_000} minutes` : error.message}`);
  }
  if (!existsSync(output)) {
    count(title, 0, 1);
    return;
  }
  const result = JSON.parse(readFileSync(output, 'utf8'));
  for (const { assertionResults } of result.testResults) {
    for (const { title: name, status } of assertionResults) {
      const reason = /\(skipped: (.*)\)$/.exec(name)?.[1];
      if (status === 'pending' && reason) skips.add(`skipped: ${reason}`);
    }
  }
  // A test file that cannot be loaded has no assertions.
  const broken = result.testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0).length;
  count(title, result.numPassedTests, result.numFailedTests + broken + (error ? 1 : 0), result.numPendingTests + result.numTodoTests);
}

/** Copies the files that an unprivileged user needs for the tests to a directory that this user can read and write. */
function copyForUser() {
  const directory = join(work, 'user');
  for (const name of [...projectFiles, 'build/Release/nsjs.node', 'build/test']) {
    if (existsSync(name)) cpSync(name, join(directory, name), { recursive: true });
  }
  cpSync('node_modules', join(directory, 'node_modules'), {
    recursive: true,
    filter: (path) => !/@biomejs|@typescript|node_modules\/(typescript|cmake-js|node-gyp)$/.test(path),
  });
  spawnSync('chmod', ['755', work]);
  spawnSync('chown', ['-R', `${userId}:${userId}`, directory]);
  return directory;
}

/**
 * Runs the tests in a new network namespace that scripts/test/lab.sh sets up. A user creates it inside a user
 * namespace, and gets its own id back there.
 */
function inLab(options) {
  const lab = ['sh', 'scripts/test/lab.sh'];
  const { prefix = [] } = options;
  if (isRoot) return { ...options, prefix: ['unshare', '--net', ...lab, ...prefix] };
  const itself = ['unshare', '--user', `--map-user=${process.geteuid()}`, `--map-group=${process.getegid()}`];
  const whole = ['unshare', '--user', '--map-root-user', '--net', ...lab, ...itself];
  // Without user namespaces the tests report the missing feature.
  return spawnSync(whole[0], [...whole.slice(1), 'true']).status === 0 ? { ...options, prefix: whole } : options;
}

/**
 * Suites that depend on the version of Node: library and network as a whole, or only files in which versions differed.
 */
function nodeSuites(title, isWhole, options) {
  const name = `${title}, Node ${process.versions.node}`;
  jest(
    `${name}: library`,
    [isWhole ? library : 'dist-test/kernel/(launch/(loading|spawn|handle|descriptors|edge-cases|rights)|features/limits|sandbox/tree)'],
    options,
  );
  if (isWhole) jest(`${name}: network`, ['dist-test/kernel/network'], inLab(options));
}

function asUser(run) {
  if (!isRoot) return;
  const prefix = ['setpriv', `--reuid=${userId}`, `--regid=${userId}`, '--clear-groups', '--'];
  run({ cwd: copyForUser(), prefix, env: { HOME: '/tmp', USER: 'user' } });
}

const library = 'dist-test/(kernel/(features|launch|oci|sandbox|namespace|sys|seccomp|probe|cli)|security/fuzz)';

// Only a part of the fault sweep: `npm run test:faults` runs everything, as the user that starts it.
function kernelSuites(title, options) {
  jest(`${title}: library`, [library], options);
  jest(`${title}: limits`, ['dist-test/kernel/limits'], options);
  jest(`${title}: threats`, ['dist-test/security/threats'], options);
  jest(`${title}: hosts`, ['dist-test/kernel/hosts'], options);
  jest(`${title}: network`, ['dist-test/kernel/network'], inLab(options));
  jest(`${title}: examples`, ['dist-test/kernel/examples'], options);
  jest(`${title}: faults and leaks`, ['dist-test/security/leaks'], options);
}

const suites = {
  lint() {
    check('lint: biome', 'node_modules/.bin/biome', ['check', '.']);
    node('lint: layers', 'scripts/check/layers.mjs', '--numbers');
    node('lint: words', 'scripts/check/words.mjs');
    node('lint: generated files', 'scripts/build/operations.mjs', '--check');
    node('lint: documentation', 'scripts/build/docs.mjs', '--check');
    node('lint: declarations', 'scripts/build/types.mjs', '--check');
    node('lint: picture', 'scripts/build/picture.mjs', '--check');
    node('lint: C++', 'scripts/check/cpp.mjs');
  },
  build() {
    node('build', 'scripts/build/all.mjs');
    node('build: programs for tests', 'scripts/build/tests.mjs');
  },
  unit() {
    jest('unit', ['-c', 'jest.unit.config.js']);
    node('unit: branch coverage', 'scripts/check/coverage.mjs');
    jest('checks of structure and words', ['dist-test/check']);
  },
  floors() {
    node('floors: launcher and addon', 'scripts/check/binaries.mjs');
    node('floors: glibc and musl', 'scripts/check/load.mjs');
    node('floors: arm64', 'scripts/build/prebuild.mjs', '--arch', 'arm64', '--output', 'build/prebuilds');
  },
  native() {
    node('native: plan reader and operations under ASan and UBSan', 'scripts/test/native.mjs');
  },
  kernel() {
    kernelSuites(isRoot ? 'root' : 'user', { env: { NSJS_FAULTS: 'some' } });
  },
  user() {
    // Fewer rounds of the tests that kill processes and of those that look for leaks, which root has run.
    const fewer = { NSJS_FAULTS: 'some', NSJS_ROUNDS: '20', NSJS_TEST_QUICK: '1' };
    asUser((options) => kernelSuites('user', { ...options, env: { ...options.env, ...fewer } }));
  },
  nodes() {
    counting('other versions of Node', 'scripts/test/matrix.mjs', '--subset');
  },
  vm() {
    if (isRoot) counting('guest kernels: cgroups of version 2', 'scripts/test/vm.mjs', '--subset');
  },
  arm64() {
    if (isRoot) counting('arm64, emulated', 'scripts/test/arm64.mjs', '--subset');
  },
  package() {
    node('package: pack, install, load, types', 'scripts/test/package.mjs');
  },
  recipes() {
    counting('recipes: hosts and bundlers', 'scripts/test/recipes.mjs');
  },
};

/** Not run by default: scripts/test/matrix.mjs runs them with a chosen version of Node. */
const ofMatrix = {
  matrix() {
    nodeSuites(isRoot ? 'root' : 'user', true, {});
    asUser((options) => nodeSuites('user', true, options));
  },
  // When root runs it, even versions run as a user and odd ones as root.
  versions() {
    const isEven = Number.parseInt(process.versions.node, 10) % 2 === 0;
    if (isRoot && isEven) asUser((options) => nodeSuites('user', false, options));
    else nodeSuites(isRoot ? 'root' : 'user', false, {});
  },
};

const words = process.argv.slice(2);
const chosen = words.filter((word) => !word.startsWith('--'));
const countFile = words.find((word) => word.startsWith('--count='))?.slice('--count='.length);
const wanted = chosen.length === 0 ? Object.keys(suites) : chosen;
for (const [name, run] of Object.entries({ ...suites, ...ofMatrix })) if (wanted.includes(name)) run();
if (countFile) writeFileSync(countFile, JSON.stringify(totals));
rmSync(work, { recursive: true, force: true });
for (const reason of [...skips].sort()) console.log(reason);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed === 0 ? 0 : 1);
