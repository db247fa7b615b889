// Spawns many programs of every kind in one process and prints what remains. leaks.test.ts runs it with --expose-gc.
import { Sandbox, spawnIsolated } from 'nsjs';
import { mountCount, openDescriptors, ownChildren, ownLaunchers, sandboxCgroups } from '../../support/processes';

const total = Number(process.argv[2] ?? 2000);
const firstMeasure = total / 4;
const atATime = 4;

const ignore = () => {};
const kinds: readonly (() => Promise<unknown>)[] = [
  () => spawnIsolated('true'),
  () => spawnIsolated('echo', ['hello'], { input: 'x' }),
  () => spawnIsolated('false').catch(ignore),
  () => spawnIsolated('no-such-command').catch(ignore),
  () => spawnIsolated('true', [], { mounts: [{ type: 'bind', source: '/nonexistent' }] }).catch(ignore),
  () => spawnIsolated('true', [], { cwd: '/nonexistent' }).catch(ignore),
  () => spawnIsolated('sleep', ['10'], { timeout: 5, reject: false, killGrace: 5 }),
  () => spawnIsolated('sleep', ['10'], { signal: AbortSignal.timeout(3) }).catch(ignore),
  () => spawnIsolated('sleep', ['10'], { signal: AbortSignal.abort() }).catch(ignore),
  () => spawnIsolated('yes', [], { maxBuffer: 1000 }).catch(ignore),
  () => spawnIsolated('/bin/sh', ['-c', 'sleep 100 & setsid sleep 100 & exit 1'], { stdio: ['pipe', 'ignore', 'pipe'] }).catch(ignore),
];

const confinement: readonly (() => Promise<unknown>)[] = [
  () => spawnIsolated('true', [], { mounts: [{ type: 'overlay', target: '/o', lower: '/etc/ssl' }], verify: true }),
  () => spawnIsolated('true', [], { landlock: { read: ['/nowhere'] } }).catch(ignore),
  () => spawnIsolated('mkdir', ['/tmp/x'], { onSyscall: { mkdir: (call) => call.deny('EDQUOT') }, reject: false }),
  () => spawnIsolated('mkdir', ['/tmp/x'], { onSyscall: { mkdir: () => new Promise(() => {}) }, timeout: 5, killGrace: 5, reject: false }),
  () => spawnIsolated('true', [], { preset: 'landlock' }),
  async () => {
    const sandbox = await Sandbox.open({ root: { lower: '/usr' }, mounts: [{ type: 'proc', target: '/proc' }] });
    await sandbox.fs.writeFile('/file', 'x');
    await sandbox.fs.readFile('/none').catch(ignore);
    await sandbox.overlay().diff();
    await sandbox.mount({ type: 'tmpfs', target: '/mnt' });
    await sandbox.close();
  },
];

// With both lists in one run, memory use would need more spawns to settle than the run has.
const chosen = process.argv[3] === 'confinement' ? confinement : kinds;

const state = () => ({
  descriptors: openDescriptors(),
  children: ownChildren().length,
  processes: ownLaunchers().length,
  cgroups: sandboxCgroups().length,
  mounts: mountCount(),
});

async function spawn(count: number): Promise<void> {
  for (let index = 0; index < count; index += atATime) {
    await Promise.all(Array.from({ length: atATime }, (_, offset) => chosen[(index + offset) % chosen.length]?.()));
  }
}

function residentAfterGc(): number {
  const { gc } = globalThis as { gc?: () => void };
  for (let round = 0; round < 3; round++) gc?.();
  return process.memoryUsage.rss();
}

// Streams close one turn of the event loop after their results.
const settled = () => new Promise((resolve) => setTimeout(resolve, 200));

async function main(): Promise<void> {
  await spawn(chosen.length);
  await settled();
  const before = state();
  await spawn(firstMeasure);
  const first = residentAfterGc();
  await spawn(total - firstMeasure);
  const grown = residentAfterGc() - first;
  await settled();
  console.log(JSON.stringify({ before, after: state(), grown }));
}

void main();
