// Measures the cost of each kind of network of a sandbox: time to open a sandbox, throughput, and the latency of a
// connection with one byte each way. Everything runs in a new network namespace; the sandboxes connect to a server
// there, which has an address of its own. Prints a table and writes bench/results/network.json. Root only.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

if (process.geteuid() !== 0) {
  console.log('network: left out, it needs root for its namespaces');
  process.exit(0);
}
if (process.env.NSJS_BENCH_INSIDE === undefined) {
  const { status } = spawnSync('unshare', ['--net', process.execPath, process.argv[1]], {
    stdio: 'inherit',
    env: { ...process.env, NSJS_BENCH_INSIDE: '1' },
  });
  process.exit(status ?? 1);
}

const { Network, Sandbox } = await import('nsjs');
const rounds = Number(process.env.NSJS_BENCH_ROUNDS ?? 30);
const seconds = Number(process.env.NSJS_BENCH_SECONDS ?? 2);
const repeats = 3;
const connections = 500;
const port = 9000;
const there = '10.9.5.5';
const gateway = '10.9.0.1';
const work = mkdtempSync(join(tmpdir(), 'nsjs-network-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const tool = join(work, 'net');
if (spawnSync('gcc', ['-O2', '-static', '-o', tool, 'bench/net.c']).status !== 0) {
  console.log('network: left out, there is no gcc');
  process.exit(0);
}
const has = (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const mounts = [{ type: 'bind', source: tool, target: '/net' }];
const median = (list) => [...list].sort((one, other) => one - other)[Math.floor(list.length / 2)];

// pasta copies the address of an interface with a default route; the route needs a neighbour.
execFileSync('ip', ['link', 'set', 'lo', 'up']);
execFileSync('ip', ['addr', 'add', `${there}/32`, 'dev', 'lo']);
const neighbour = await Sandbox.open({
  network: { veth: { hostName: 'uplink', hostAddresses: ['10.9.0.2/24'], addresses: [`${gateway}/24`] } },
});
execFileSync('ip', ['route', 'add', 'default', 'via', gateway]);
const server = spawn(tool, ['serve', `${port}`], { stdio: ['ignore', 'pipe', 'inherit'] });
const iperf = has('iperf3') ? spawn('iperf3', ['-s', '--forceflush', '-B', there], { stdio: ['ignore', 'pipe', 'inherit'] }) : undefined;
if (!iperf) console.log('iperf3: left out, it is not installed: no throughput');
await once(server.stdout, 'data');
if (iperf) await once(iperf.stdout, 'data');

const network = await Network.create({ host: true });
const open = (setup) => Sandbox.open({ preset: 'node', mounts, ...(setup ? { network: setup } : {}) });

/** Functions that open a sandbox and return it, with the helper process to end if there is one. */
const ways = {
  none: async () => ({ sandbox: await open() }),
  egress: async () => ({ sandbox: await open({ egress: { allow: ['10.9.5.5'] } }) }),
  veth: async () => ({ sandbox: await open({ veth: { network } }) }),
  ...(has('pasta') ? { pasta: async () => ({ sandbox: await open({ pasta: {} }) }) } : {}),
  ...(has('slirp4netns') ? { slirp4netns: slirp } : {}),
};
for (const name of ['pasta', 'slirp4netns']) if (!ways[name]) console.log(`${name}: left out, it is not installed`);

async function slirp() {
  const sandbox = await open({});
  const args = ['-c', '-r', '4', '--mtu=65520', '--disable-host-loopback', '--netns-type=path', '/proc/self/fd/3', 'tap0'];
  const child = spawn('slirp4netns', args, { stdio: ['ignore', 'ignore', 'ignore', sandbox.net.namespaces.netFd, 'pipe'] });
  await once(child.stdio[4], 'data');
  return { sandbox, child };
}

const throughput = (text) => JSON.parse(text).end.sum_received.bits_per_second / 1e9;

async function end({ sandbox, child }) {
  if (child) {
    child.kill();
    await once(child, 'exit');
  }
  await sandbox.close();
}

const times = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
for (let round = 0; round < rounds + 1; round++) {
  for (const [name, make] of Object.entries(ways)) {
    const start = performance.now();
    const made = await make();
    if (round > 0) times[name].push(performance.now() - start);
    await end(made);
  }
  if (round % 10 === 0) console.log(`network: ${round} of ${rounds} rounds of opening`);
}

const results = {};
for (const name of Object.keys(ways)) {
  const setUp = median(times[name]) - median(times.none);
  results[name] = { openMs: median(times[name]), setUpMs: setUp };
}
const measured = Object.keys(ways).filter((name) => name !== 'none');
const samples = Object.fromEntries(measured.map((name) => [name, { gbit: [], latency: [] }]));
for (let repeat = 0; repeat < repeats; repeat++) {
  for (const name of measured) {
    const made = await ways[name]();
    const run = async (command, ...args) => (await made.sandbox.spawn(command, args)).stdout;
    if (iperf) samples[name].gbit.push(throughput(await run('iperf3', '-J', '-c', there, '-t', `${seconds}`)));
    samples[name].latency.push(Number(await run('/net', 'latency', there, `${port}`, `${connections}`)));
    await end(made);
  }
  console.log(`network: ${repeat + 1} of ${repeats} rounds of sending`);
}
for (const name of measured) {
  if (iperf) results[name].gbit = median(samples[name].gbit);
  results[name].connectUs = median(samples[name].latency);
}
server.kill('SIGKILL');
iperf?.kill('SIGKILL');
await network.close();
await neighbour.close();

const number = (value, digits = 2) => (value === undefined ? '-' : value.toFixed(digits));
const ratio = (name, key) => (results.pasta && results[name][key] !== undefined ? number(results[name][key] / results.pasta[key]) : '-');
console.log('\nway          open ms  set-up ms  / pasta  Gbit/s  / pasta  connect us  / pasta');
for (const [name, row] of Object.entries(results)) {
  const cells = [
    name.padEnd(12),
    number(row.openMs).padStart(7),
    number(row.setUpMs).padStart(9),
    ratio(name, 'setUpMs').padStart(7),
    number(row.gbit).padStart(6),
    ratio(name, 'gbit').padStart(7),
    number(row.connectUs, 0).padStart(10),
    ratio(name, 'connectUs').padStart(7),
  ];
  console.log(cells.join('  '));
}
mkdirSync('bench/results', { recursive: true });
writeFileSync('bench/results/network.json', `${JSON.stringify(results, undefined, 2)}\n`);
