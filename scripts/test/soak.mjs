// soak.mjs [MINUTES]: runs random programs with random options and random ways to end, without pause (default 1
// minute). Passes if nothing is left at the end and the memory of this process has not grown beyond noise. Prints a
// line per minute; exits with 1 if something is left. SEED=N repeats the choices of a run.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isNsjsError, Sandbox, SandboxPool, spawnIsolated } from 'nsjs';

const minutes = Number(process.argv[2] ?? 1);
if (!(minutes > 0)) {
  console.error('soak: expected a number of minutes, as in: npm run soak -- 10');
  process.exit(2);
}
const width = 6;
let seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
console.log(`soak: ${minutes} min, SEED=${seed}`);

// mulberry32
function random() {
  seed = (seed + 0x6d2b79f5) | 0;
  let value = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
  return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
}
const pick = (list) => list[Math.floor(random() * list.length)];
const maybe = (share, value) => (random() < share ? value() : {});

const programs = [
  ['true', []],
  ['/bin/sh', ['-c', 'exit 3']],
  ['/bin/sh', ['-c', 'echo out; echo err >&2; head -c 300000 /dev/zero']],
  ['/bin/sh', ['-c', 'sleep 100 & setsid sleep 100 & exit 0']],
  ['/bin/sh', ['-c', 'while :; do :; done']],
  ['/bin/sh', ['-c', 'trap "" TERM; while :; do sleep 1; done']],
  ['perl', ['-e', 'my @a; push @a, "x" x 1048576 for 1..200']],
  ['perl', ['-e', 'while (1) { last unless defined fork }; sleep 100']],
  ['perl', ['-e', 'while (1) { fork; select undef, undef, undef, 0.01 }']],
  ['/bin/sh', ['-c', 'kill -KILL $$']],
  ['/bin/sh', ['-c', 'kill -STOP $$; sleep 100']],
  ['/bin/sh', ['-c', 'head -c 100M /dev/zero > /tmp/x; ls -l /tmp']],
  ['/nothing/there', []],
];

const sandboxOptions = () => ({
  ...maybe(0.3, () => ({ preset: pick(['untrusted', 'node', 'build', 'container', 'landlock']) })),
  ...maybe(0.2, () => ({ hostname: 'soak' })),
  ...maybe(0.2, () => ({ mounts: [{ type: 'tmpfs', target: '/mine', size: '1M' }] })),
  ...maybe(0.1, () => ({ verify: true })),
  limits: {
    ...maybe(0.5, () => ({ memory: pick(['16M', '64M', '200M']) })),
    ...maybe(0.3, () => ({ pids: pick([1, 5, 40]) })),
    ...maybe(0.3, () => ({ wallTime: pick([1, 30, 300]) })),
    ...maybe(0.2, () => ({ cpuTime: pick([20, 200]) })),
    ...maybe(0.2, () => ({ idle: pick([50, 300]) })),
    ...maybe(0.2, () => ({ openFiles: 64 })),
  },
});
const most = 400;
const runOptions = () => ({
  reject: false,
  timeout: most,
  killGrace: pick([0, 20]),
  ...maybe(0.1, () => ({ maxBuffer: 1000 })),
  ...maybe(0.1, () => ({ signal: AbortSignal.timeout(pick([0, 10, 100])) })),
  ...maybe(0.2, () => ({ stdio: pick(['ignore', 'pipe']) })),
});

const reasons = {};
const told = (key) => {
  reasons[key] = (reasons[key] ?? 0) + 1;
};

async function settle(begin) {
  try {
    const run = begin();
    if (random() < 0.2) setTimeout(() => run.kill(pick(['SIGTERM', 'SIGKILL', 'SIGINT'])), random() * 50);
    told((await run).reason);
  } catch (error) {
    // Every expected error has a type or a code.
    if (!isNsjsError(error) && error.code === undefined) throw error;
    told(error.code);
  }
}

async function single() {
  await settle(() => spawnIsolated(...pick(programs), { ...sandboxOptions(), ...runOptions() }));
}

// Programs in a pool of parked sandboxes; there may be more programs than sandboxes.
async function pooled() {
  let pool;
  try {
    pool = await SandboxPool.open(sandboxOptions(), { size: pick([1, 3]) });
    const runs = Array.from({ length: Math.floor(random() * 6) }, () => settle(() => pool.spawn(...pick(programs), runOptions())));
    if (random() < 0.7) await Promise.all(runs);
    await pool.close();
    await Promise.all(runs);
  } catch (error) {
    if (error.code === undefined) throw error;
    told(error.code);
    await pool?.close();
  }
}

async function several() {
  let sandbox;
  try {
    sandbox = await Sandbox.open(sandboxOptions());
    const runs = [];
    for (let count = Math.floor(random() * 4); count > 0; count--) {
      const own = maybe(0.3, () => ({ limits: { wallTime: pick([20, 200]), ...maybe(0.5, () => ({ openFiles: 50 })) } }));
      if (!sandbox.closed) runs.push(settle(() => sandbox.spawn(...pick(programs), { ...runOptions(), ...own })));
      await pause(random() * 20);
    }
    if (random() < 0.2 && !sandbox.closed) await sandbox.pause().then(() => sandbox.resume());
    if (random() < 0.3 && !sandbox.closed) sandbox.stats();
    if (random() < 0.7) await Promise.all(runs);
    await sandbox.close();
    await Promise.all(runs);
  } catch (error) {
    if (error.code === undefined) throw error;
    told(error.code);
    await sandbox?.close();
  }
}

const ownLaunchers = () =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && new RegExp(`^PPid:\\s*${process.pid}$`, 'm').test(readFileSync(`/proc/${pid}/status`, 'latin1'));
    } catch {
      return false;
    }
  }).length;

function groups() {
  const own = `nsjs-${process.pid}-`;
  const search = (directory, depth) => {
    try {
      return readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .flatMap(({ name }) =>
          name.startsWith(own) ? [`${directory}/${name}`] : depth > 0 ? search(`${directory}/${name}`, depth - 1) : [],
        );
    } catch {
      return [];
    }
  };
  return search('/sys/fs/cgroup', 4);
}
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
const mebibyte = 2 ** 20;
const msPerMinute = 60_000;
// In MiB. Memory that JavaScript and its buffers hold is exact after a collection; the resident set includes memory
// that the allocator keeps for later.
const memory = () => {
  collect();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { resident: Math.round(rss / mebibyte), held: Math.round(((heapUsed + external) / mebibyte) * 10) / 10 };
};
const state = () => ({
  descriptors: readdirSync('/proc/self/fd').length,
  launchers: ownLaunchers(),
  groups: groups().length,
  mounts: readFileSync('/proc/self/mountinfo', 'latin1').split('\n').length,
  ...memory(),
});

let count = 0;
const start = performance.now();
async function work(until) {
  while (performance.now() < until) {
    const kind = random();
    await (kind < 0.5 ? single() : kind < 0.8 ? several() : pooled());
    count++;
  }
}
const runFor = (ms) => Promise.all(Array.from({ length: width }, () => work(performance.now() + ms)));

// A warm-up, so that memory and descriptors that are allocated only once are not counted.
await runFor(Math.min(10_000, (minutes * msPerMinute) / 5));
await pause(500);
const before = state();
console.log('soak: at first', JSON.stringify(before));
while (performance.now() - start < minutes * msPerMinute) {
  await runFor(Math.min(msPerMinute, minutes * msPerMinute - (performance.now() - start)));
  const { resident, held } = memory();
  console.log(`soak: ${Math.round((performance.now() - start) / 1000)} s, ${count} rounds, ${resident} MiB resident, ${held} held`);
}
for (let waited = 0; waited < 5000 && (ownLaunchers() > 0 || groups().length > 0); waited += 100) await pause(100);
const after = state();
console.log('soak: at last ', JSON.stringify(after));
console.log('soak: ends', JSON.stringify(reasons));
const noise = { resident: 32, held: 16 };
const left = Object.keys(before).filter((key) => after[key] > before[key] + (noise[key] ?? 0));
console.log(left.length === 0 ? `soak: nothing is left of ${count} rounds` : `soak: more than at first: ${left.join(', ')}`);
process.exitCode = left.length === 0 ? 0 : 1;
