import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { spawnIsolated } from 'nsjs';
import { isRoot, sleep, testIf } from '../../support';
import { sandboxCgroups, sandboxProcesses } from '../../support/processes';

const program = (name: string) => join(__dirname, `${name}.js`);
// The young generation has a fixed size: the test measures what nsjs retains, not how V8 sizes its heap.
const isLong = process.env.NSJS_TEST_QUICK === undefined;

test.each(['running', 'confinement'])(
  'after thousands of spawns of every kind (%s) nothing remains and memory does not grow',
  (kinds) => {
    const count = isLong ? 2000 : 400;
    const { before, after, grown } = JSON.parse(
      execFileSync(process.execPath, ['--expose-gc', '--max-semi-space-size=1', program('leak-program'), `${count}`, kinds], {
        encoding: 'utf8',
      }),
    );
    expect(after).toEqual(before);
    expect(before).toMatchObject({ children: 0, processes: 0, cgroups: 0 });
    expect(grown).toBeLessThan(5 * 2 ** 20);
    process.stderr.write(`resident memory after ${count} spawns: ${(grown / 2 ** 20).toFixed(2)} MiB more than after a quarter of them\n`);
  },
  300_000,
);

const started = (child: ChildProcess) => new Promise((resolve) => child.stdout?.once('data', resolve));
const ended = (child: ChildProcess) => new Promise((resolve) => child.once('exit', resolve));

/**
 * Returns the processes and cgroups of the given run that remain. They end on their own, as fast as the machine
 * allows, and the keeper removes the cgroups as its last step. A launcher that is in execve(2) has no command line, so
 * two looks in a row count.
 */
async function remains(marker: string, pid: number | undefined): Promise<readonly (number | string)[]> {
  const found = () => [...sandboxProcesses(marker), ...sandboxCgroups(pid)];
  let empty = 0;
  for (let waited = 0; waited < 20_000 && empty < 2; waited += 20) {
    empty = found().length === 0 ? empty + 1 : 0;
    await sleep(20);
  }
  return found();
}

test('after kill -9 of Node at any moment, no process and no cgroup remains', async () => {
  const rounds = isLong ? 200 : 40;
  for (let round = 0; round < rounds; round++) {
    const marker = `nsjs-kill-${process.pid}-${round}`;
    const child = spawn(process.execPath, [program('spawner'), marker], { stdio: ['ignore', 'pipe', 'inherit'] });
    await started(child);
    await sleep(Math.random() * 60);
    child.kill('SIGKILL');
    await ended(child);
    expect([round, await remains(marker, child.pid)]).toEqual([round, []]);
  }
}, 600_000);

test('process.exit() at any moment leaves nothing behind', async () => {
  for (let round = 0; round < 20; round++) {
    const marker = `nsjs-exit-${process.pid}-${round}`;
    const child = spawn(process.execPath, [program('spawner'), marker, 'exit'], { stdio: ['ignore', 'pipe', 'inherit'] });
    expect(await ended(child)).toBe(7);
    expect(await remains(marker, child.pid)).toEqual([]);
  }
}, 120_000);

test('worker.terminate() at any moment leaves nothing behind, and the process continues', async () => {
  const marker = `nsjs-worker-${process.pid}`;
  const child = spawn(process.execPath, [program('spawner'), marker, 'workers'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  expect(await ended(child)).toBe(0);
  expect(text).toBe('terminated\n');
  expect(await remains(marker, child.pid)).toEqual([]);
}, 120_000);

const parentOf = (pid: number) => Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);

test('if the keeper is killed, the sandbox ends, the result contains the reason and the cgroup is removed', async () => {
  const running = spawnIsolated('sleep', ['100'], { reject: false });
  await running.spawned;
  const keeper = parentOf(parentOf(running.pid ?? 0));
  process.kill(keeper, 'SIGKILL');
  expect(await running).toMatchObject({ reason: 'launcher', signal: 'SIGKILL', exitCode: null });
  expect(sandboxCgroups()).toEqual([]);
});

test('SIGSTOP and SIGKILL from inside do not reach init', async () => {
  const script = 'kill -STOP 1; kill -KILL 1; kill -TERM 1; echo alive; trap "" TERM; sleep 100';
  const result = await spawnIsolated('/bin/sh', ['-c', script], { reject: false, timeout: 300, killGrace: 100 });
  expect(result).toMatchObject({ stdout: 'alive', reason: 'timeout' });
});

test('a program that stops itself is killed at its timeout', async () => {
  const result = await spawnIsolated('/bin/sh', ['-c', 'kill -STOP $$'], { reject: false, timeout: 200, killGrace: 100 });
  expect(result.reason).toBe('timeout');
});

testIf(isRoot, 'root', 'keeper and init together use less than 200 KB of memory', async () => {
  const running = spawnIsolated('sleep', ['100'], { reject: false });
  await running.spawned;
  const init = parentOf(running.pid ?? 0);
  const pss = (pid: number) => Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1]);
  const total = pss(init) + pss(parentOf(init));
  await running.stop(0);
  process.stderr.write(`keeper and init: ${total} KB (Pss)\n`);
  expect(total).toBeGreaterThan(0);
  expect(total).toBeLessThan(200);
});

const procfsRoot = 1;

test('environment, memory map and descriptors of this process do not leak into the launcher', async () => {
  await using running = spawnIsolated('sleep', ['100'], { reject: false, killGrace: 0 });
  await running.spawned;
  const init = parentOf(running.pid ?? 0);
  for (const pid of [init, parentOf(init)]) {
    expect(readFileSync(`/proc/${pid}/cmdline`, 'latin1')).toBe('nsjs\0');
    if (!isRoot) continue;
    expect(readFileSync(`/proc/${pid}/environ`, 'latin1')).toBe('');
    // The keeper holds open the files of the sandbox's own cgroups that it reads at the end.
    const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    const others = links.filter((link) => !link.includes(`/nsjs-${process.pid}-`));
    expect(others.length).toBeLessThan(8);
    const files = readdirSync(`/proc/${pid}/fd`).filter((fd) => statSync(`/proc/${pid}/fd/${fd}`).ino !== procfsRoot);
    const paths = files.map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`)).filter((link) => link.startsWith('/') && others.includes(link));
    expect(paths.filter((link) => !/^\/(run\/nsjs\/ids\.lock|memfd:nsjs-plan .*)$/.test(link))).toEqual([]);
    expect(readFileSync(`/proc/${pid}/maps`, 'latin1')).not.toContain('node');
  }
});
