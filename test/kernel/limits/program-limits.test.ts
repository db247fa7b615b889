import { Sandbox } from 'nsjs';
import { readText } from '../../../dist/cgroup/hierarchies';
import { hasCgroups, isSlow, rejection, sleep, testIf } from '../../support';
import { openDescriptors, sandboxCgroups } from '../../support/processes';
import { until } from '../../support/until';
import { eat, hasCpu, spin } from './load';

describe('limits of one program', () => {
  testIf(hasCgroups, 'cgroups', 'it is held to its own, the others are not', async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '256M' } });
    const [small, large] = await Promise.all([
      sandbox.spawn('perl', eat(60), { limits: { memory: '32M' }, reject: false }),
      sandbox.spawn('perl', eat(60)),
    ]);
    expect(small).toMatchObject({ reason: 'oom', signal: 'SIGKILL', limits: { oomKills: 1 } });
    expect(large).toMatchObject({ reason: 'exited', stdout: 'ate' });
    const count = 'my $n = 1; while (1) { my $p = fork; last unless defined $p; if (!$p) { sleep 100 } $n++ } print $n';
    expect(await sandbox.spawn('perl', ['-e', count], { limits: { pids: 5 } })).toMatchObject({ stdout: '5' });
  });

  testIf(hasCgroups, 'cgroups', 'the sandbox holds it as well', async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '32M' } });
    expect(await sandbox.spawn('perl', eat(60), { limits: { memory: '128M' }, reject: false })).toMatchObject({ reason: 'oom' });
  });

  testIf(hasCpu, 'the cpu controller', 'CPU time is its own', async () => {
    await using sandbox = await Sandbox.open();
    const run = sandbox.spawn('/bin/sh', spin, { limits: { cpu: 0.2, wallTime: 3000 }, reject: false });
    await run.spawned;
    await sleep(2000);
    const { cpu } = run.stats();
    expect(cpu.usageMs).toBeLessThan(0.25 * 2200 + 50);
    expect(cpu.usageMs).toBeGreaterThan(0.1 * 2000);
    await run;
  });

  testIf(hasCgroups, 'cgroups', 'its groups go with it', async () => {
    await using sandbox = await Sandbox.open();
    const before = { groups: sandboxCgroups().length, descriptors: openDescriptors() };
    for (let round = 0; round < 5; round++)
      await sandbox.spawn('true', [], { limits: { memory: '32M', pids: 5, wallTime: 10_000, cpuTime: 5000 } });
    await until(() => sandboxCgroups().length === before.groups);
    expect(openDescriptors()).toBeLessThanOrEqual(before.descriptors);
  });

  testIf(!hasCgroups, 'a user without cgroups', 'what needs a group is an error that says so', async () => {
    await using sandbox = await Sandbox.open();
    expect(await rejection(sandbox.spawn('true', [], { limits: { pids: 5 } }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
  });
});

describe('limits of one program, and how they end', () => {
  test('however short its time is, it is over', async () => {
    await using sandbox = await Sandbox.open({ limits: { pids: 200 } });
    for (const wallTime of [1, 2, 3, 5, 10]) {
      const runs = Array.from({ length: 20 }, () =>
        sandbox.spawn('sleep', ['100'], { limits: { wallTime }, timeout: 30_000, reject: false }),
      );
      for (const run of runs) expect(await run).toMatchObject({ reason: 'timeout', limits: { time: 'wallTime' } });
    }
  });

  testIf(hasCgroups, 'cgroups', "the clock of a program that could not start is not the next one's", async () => {
    await using sandbox = await Sandbox.open({ limits: { pids: 2 } });
    const first = sandbox.spawn('sleep', ['100'], { reject: false });
    const second = sandbox.spawn('sleep', ['100'], { reject: false });
    await Promise.all([first.spawned, second.spawned]);
    expect(await rejection(sandbox.spawn('sleep', ['100'], { limits: { wallTime: 700 } }))).toMatchObject({ code: 'EAGAIN' });
    first.kill('SIGKILL');
    await first;
    expect(await sandbox.spawn('sleep', ['1.5'], { reject: false })).toMatchObject({ reason: 'exited' });
    second.kill('SIGKILL');
    await second;
  });

  test.each(['untrusted', 'none'] as const)(
    'CPU time and idleness hold under preset %s, with a limit of memory beside them',
    async (preset) => {
      await using sandbox = await Sandbox.open({ preset });
      const spinning = '(while :; do :; done) & (while :; do :; done) & wait';
      const busy = await sandbox.spawn('/bin/sh', ['-c', spinning], {
        limits: { memory: '64M', cpuTime: 400 },
        timeout: 30_000,
        reject: false,
      });
      expect(busy).toMatchObject({ reason: 'timeout', limits: { time: 'cpuTime' } });
      const still = await sandbox.spawn('sleep', ['100'], { limits: { memory: '64M', idle: 400 }, timeout: 30_000, reject: false });
      expect(still).toMatchObject({ reason: 'timeout', limits: { time: 'idle' } });
      expect(sandbox.closed).toBe(false);
    },
  );

  testIf(hasCpu, 'the cpu controller', 'a neighbour that uses all CPU time up stops no clock', async () => {
    await using sandbox = await Sandbox.open({ limits: { cpu: 0.3 } });
    const wallTime = 2000;
    const run = sandbox.spawn('sleep', ['100'], { limits: { wallTime }, reject: false });
    await run.spawned;
    const before = Date.now();
    void sandbox.spawn('/bin/sh', ['-c', 'for i in $(seq 5); do while :; do :; done & done; wait'], { reject: false });
    // Init, which tells, waits for CPU time like the rest of it.
    await until(() => /^$|\) Z /.test(readText(`/proc/${run.pid}/stat`)));
    expect(Date.now() - before).toBeLessThan(wallTime + (isSlow ? 20_000 : 1000));
    expect(await run).toMatchObject({ reason: 'timeout' });
  });
});
