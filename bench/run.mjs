// Compares, interleaved in one run: child_process.spawn, nsjs, Node that spawns bwrap with an equivalent policy, and
// the lower bound (bench/floor.c). Prints a table of p50, p90, p99 and ratios; writes bench/results/latest.json.
// Absolute times differ between hosts and from minute to minute: quote the ratios.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, lstatSync, mkdirSync, openSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { listNamespaces, Sandbox, SandboxPool, spawnIsolated } from 'nsjs';
import { filterFor } from '../dist/features/seccomp-filter.js';
import { parseSandboxOptions } from '../dist/options/spec.js';

const rounds = Number(process.env.NSJS_BENCH_ROUNDS ?? 200);
const warmUp = 20;
const ballastMb = 512;
const pauseMs = 100;
const program = '/usr/bin/true';

// The policy of nsjs as far as bwrap supports it: the same mounts except the small files of /etc, the same seccomp
// filter, no nested user namespaces, tmpfs with a size. It has no limits, no idmapped binds and no report.
const filterFile = join(tmpdir(), `nsjs-filter-${process.pid}`);
writeFileSync(filterFile, filterFor(parseSandboxOptions({})).bytes);
process.on('exit', () => rmSync(filterFile, { force: true }));
const filterFd = 3;
const size = String(64 * 2 ** 20);
const etc = ['/etc/alternatives', '/etc/ssl', '/etc/ld.so.cache', '/etc/ld.so.conf'].filter(existsSync);
const links = ['/bin', '/sbin', '/lib', '/lib32', '/lib64'].filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink());
const bwrapArgs = [
  ...['--unshare-all', '--unshare-user', '--disable-userns', '--new-session', '--die-with-parent', '--cap-drop', 'ALL'],
  ...[
    '--clearenv',
    '--setenv',
    'PATH',
    '/usr/bin',
    '--setenv',
    'HOME',
    '/home/sandbox',
    '--setenv',
    'LANG',
    'C.UTF-8',
    '--hostname',
    'sandbox',
  ],
  ...['--ro-bind', '/usr', '/usr', ...links.flatMap((path) => ['--symlink', readlinkSync(path), path])],
  ...etc.flatMap((path) => ['--ro-bind', path, path]),
  ...['--proc', '/proc', '--dev', '/dev', '--size', size, '--tmpfs', '/tmp', '--size', size, '--tmpfs', '/home/sandbox'],
  ...['--seccomp', String(filterFd), '--chdir', '/home/sandbox', program],
];

function bwrap() {
  const fd = openSync(filterFile, 'r');
  const child = spawn('bwrap', bwrapArgs, { stdio: ['ignore', 'pipe', 'pipe', fd] });
  closeSync(fd);
  return closed(child);
}

const closed = (child) =>
  new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`exit code ${code}`))));
  });

const pool = await SandboxPool.open();
const fromPool = 'nsjs, from a pool';

const contenders = {
  'child_process.spawn': () => closed(spawn(program)),
  nsjs: () => spawnIsolated(program),
  [fromPool]: () => spawnIsolated(program, [], { sandbox: pool }),
  'nsjs, no cgroup': () => spawnIsolated(program, [], { cgroup: 'off' }),
  'Node + bwrap': bwrap,
};

function usable() {
  const missing = spawnSync('bwrap', ['--version']).error !== undefined;
  if (missing) console.log('Node + bwrap: left out, bwrap is not installed (Debian: apt-get install bubblewrap)\n');
  return Object.entries(contenders).filter(([name]) => !missing || !name.includes('bwrap'));
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function timed(run) {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

function summary(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}

/**
 * A pool parks its next sandbox while programs run. This waits until it has, so that the next measurement is not
 * disturbed. Throughput includes that work.
 */
async function settled(name) {
  while (name === fromPool && pool.ready < 1) await sleep(1);
}

/** Times one spawn of each contender in turn, so that changes in the load of the host affect all alike. */
async function interleaved(list, count, pause = 0) {
  const times = Object.fromEntries(list.map(([name]) => [name, []]));
  for (let round = -Math.min(warmUp, count); round < count; round++) {
    for (const [name, run] of list) {
      if (pause > 0) await sleep(pause);
      const time = await timed(run);
      await settled(name);
      if (round >= 0) times[name].push(time);
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, all]) => [name, summary(all)]));
}

async function throughput(run, inFlight, total) {
  let left = total;
  const worker = async () => {
    while (left-- > 0) await run();
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (total / (performance.now() - start)) * 1000;
}

function table(title, rows, base) {
  console.log(title);
  for (const [name, { p50, p90, p99 }] of Object.entries(rows)) {
    const ratio = rows[base] ? `${(p50 / rows[base].p50).toFixed(2)} ×` : '';
    const cells = [p50, p90, p99].map((time) => time.toFixed(2).padStart(8));
    console.log(`  ${name.padEnd(34)}${cells.join('')} ms${ratio.padStart(10)}`);
  }
  console.log('');
}

function floor() {
  const binary = join(tmpdir(), `nsjs-floor-${process.pid}`);
  try {
    execFileSync('cc', ['-O2', '-o', binary, 'bench/floor.c']);
  } catch {
    console.log('floor: left out, there is no C compiler\n');
    return {};
  }
  const measure = (flags, setup) => {
    const { p50, p90, p99 } = JSON.parse(execFileSync(binary, [String(rounds), flags, setup, program], { encoding: 'utf8' }));
    return { p50: p50 / 1000, p90: p90 / 1000, p99: p99 / 1000 };
  };
  const rows = {
    'C floor, all namespaces': measure('0x7e020000', '2'),
    'C floor, without net': measure('0x3e020000', '2'),
    'C fork + exec': measure('0', '0'),
  };
  spawnSync('rm', [binary]);
  return rows;
}

const field = (path, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(path, 'latin1'))?.[1]);

async function liveMemory() {
  if (process.geteuid() !== 0) return undefined;
  const running = spawnIsolated('sleep', ['60'], { reject: false });
  await running.spawned;
  const init = field(`/proc/${running.pid}/status`, 'PPid');
  const keeper = field(`/proc/${init}/status`, 'PPid');
  const kilobytes = field(`/proc/${init}/smaps_rollup`, 'Pss') + field(`/proc/${keeper}/smaps_rollup`, 'Pss');
  await running.stop(0);
  return kilobytes;
}

/** Times a further program in an open sandbox, against an un-isolated spawn, and opening and closing a sandbox. */
async function sandboxRows() {
  const sandbox = await Sandbox.open();
  const rows = await interleaved(
    [
      ['child_process.spawn', contenders['child_process.spawn']],
      ['one more program in a sandbox', () => sandbox.spawn(program)],
      ['Sandbox.open and close', async () => (await Sandbox.open()).close()],
    ],
    rounds,
  );
  await sandbox.close();
  return rows;
}

/** Times listing the namespaces, by nsjs and by lsns, while some sandboxes are open. */
async function listRows() {
  const sandboxes = await Promise.all(Array.from({ length: 4 }, () => Sandbox.open()));
  const list = [
    ['lsns -J', async () => void execFileSync('lsns', ['-J'])],
    ['listNamespaces()', async () => void listNamespaces()],
  ];
  const rows = spawnSync('lsns', ['--version']).error ? {} : await interleaved(list, Math.ceil(rounds / 4));
  await Promise.all(sandboxes.map((sandbox) => sandbox.close()));
  return rows;
}

/** Times the steps of one spawn, as this process sees them. */
async function steps() {
  const all = { 'the call (options, plan, launcher launched)': [], 'the program runs': [], 'its exit is known': [], 'all is gone': [] };
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    const running = spawnIsolated(program);
    const [called, spawned, exited, gone] = Object.values(all);
    called.push(performance.now() - start);
    running.events.once('spawn', () => spawned.push(performance.now() - start));
    running.events.once('exit', () => exited.push(performance.now() - start));
    await running;
    gone.push(performance.now() - start);
  }
  return Object.fromEntries(Object.entries(all).map(([name, times]) => [name, summary(times)]));
}

const list = usable();
const results = { node: process.version, kernel: release(), cpus: cpus().length, root: process.geteuid() === 0, rounds };
console.log(
  `Node ${process.version}, Linux ${release()}, ${cpus().length} processors, ${results.root ? 'root' : 'unprivileged'}; ${rounds} rounds; p50, p90, p99, ratio of p50\n`,
);

results.small = { ...(await interleaved(list, rounds)), ...floor() };
table('Small heap', results.small, 'child_process.spawn');
results.spaced = await interleaved(list, Math.ceil(rounds / 8), pauseMs);
table(`Small heap, ${pauseMs} ms between spawns`, results.spaced, 'child_process.spawn');

results.throughput = {};
console.log('Throughput, spawns a second');
for (const inFlight of [1, 8]) {
  for (const [name, run] of list) {
    const rate = await throughput(run, inFlight, rounds * 2);
    results.throughput[`${name}, ${inFlight} in flight`] = rate;
    console.log(`  ${`${name}, ${inFlight} in flight`.padEnd(34)}${rate.toFixed(0).padStart(8)}`);
  }
}
console.log('');
results.steps = await steps();
table('Where the time goes (since the call)', results.steps);

results.sandbox = await sandboxRows();
table('A long-lived sandbox', results.sandbox, 'child_process.spawn');
results.list = await listRows();
table('Listing namespaces', results.list, 'lsns -J');

results.memory = await liveMemory();
console.log(
  results.memory ? `Live sandbox: keeper and init together ${results.memory} KB (Pss)\n` : 'Live sandbox: only root can read it\n',
);

const ballast = Buffer.alloc(ballastMb * 2 ** 20, 1);
results.large = await interleaved(list, Math.ceil(rounds / 2));
table(`${ballastMb} MB resident`, results.large, 'child_process.spawn');
if (ballast[0] !== 1) throw new Error('the ballast was collected');
await pool.close();

if (!existsSync('bench/results')) mkdirSync('bench/results');
writeFileSync('bench/results/latest.json', `${JSON.stringify(results, undefined, 2)}\n`);
console.log('written to bench/results/latest.json');
