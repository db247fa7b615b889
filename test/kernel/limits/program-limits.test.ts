import { Sandbox } from 'nsjs';
import { readText } from '../../../dist/cgroup/hierarchies';
import { hasCgroups, isSlow, rejection, sleep, testIf } from '../../support';
import { openDescriptors, sandboxCgroups } from '../../support/processes';
import { until } from '../../support/until';
import { eat, hasCpu, spin } from './load';

describe('limits of one program', () => {
  testIf(hasCgroups, 'cgroups', 'they apply to that program and not to the others', async () => {
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

  testIf(hasCgroups, 'cgroups', 'the limits of the sandbox apply as well', async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '32M' } });
    expect(await sandbox.spawn('perl', eat(60), { limits: { memory: '128M' }, reject: false })).toMatchObject({ reason: 'oom' });
  });

  testIf(hasCpu, 'the cpu controller', 'the cpu limit and the statistics are those of the program', async () => {
    await using sandbox = await Sandbox.open();
    const run = sandbox.spawn('/bin/sh', spin, { limits: { cpu: 0.2, wallTime: 3000 }, reject: false });
    await run.spawned;
    await sleep(2000);
    const { cpu } = run.stats();
    expect(cpu.usageMs).toBeLessThan(0.25 * 2200 + 50);
    expect(cpu.usageMs).toBeGreaterThan(0.1 * 2000);
    await run;
  });

  testIf(hasCgroups, 'cgroups', 'the cgroups of a program are removed when it ends', async () => {
    await using sandbox = await Sandbox.open();
    const before = { groups: sandboxCgroups().length, descriptors: openDescriptors() };
    for (let round = 0; round < 5; round++)
      await sandbox.spawn('true', [], { limits: { memory: '32M', pids: 5, wallTime: 10_000, cpuTime: 5000 } });
    await until(() => sandboxCgroups().length === before.groups);
    expect(openDescriptors()).toBeLessThanOrEqual(before.descriptors);
  });

  testIf(!hasCgroups, 'a user without cgroups', 'a limit that needs a cgroup is refused with ERR_NSJS_UNSUPPORTED', async () => {
    await using sandbox = await Sandbox.open();
    expect(await rejection(sandbox.spawn('true', [], { limits: { pids: 5 } }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
  });
});

describe('time limits of one program', () => {
  test('even the shortest wallTime ends the program with reason timeout', async () => {
    await using sandbox = await Sandbox.open({ limits: { pids: 200 } });
    for (const wallTime of [1, 2, 3, 5, 10]) {
      const runs = Array.from({ length: 20 }, () =>
        sandbox.spawn('sleep', ['100'], { limits: { wallTime }, timeout: 30_000, reject: false }),
      );
      for (const run of runs) expect(await run).toMatchObject({ reason: 'timeout', limits: { time: 'wallTime' } });
    }
  });

  testIf(hasCgroups, 'cgroups', 'wallTime of a program that could not start does not apply to the next one', async () => {
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
    'cpuTime and idle are enforced under preset %s, together with a memory limit',
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

  testIf(hasCpu, 'the cpu controller', 'wallTime is enforced while another program uses up all CPU time of the sandbox', async () => {
    await using sandbox = await Sandbox.open({ limits: { cpu: 0.3 } });
    const wallTime = 2000;
    const run = sandbox.spawn('sleep', ['100'], { limits: { wallTime }, reject: false });
    await run.spawned;
    const before = Date.now();
    void sandbox.spawn('/bin/sh', ['-c', 'for i in $(seq 5); do while :; do :; done & done; wait'], { reject: false });
    // Poll /proc: init, which sends the exit record, waits for CPU time like the rest of the sandbox.
    await until(() => /^$|\) Z /.test(readText(`/proc/${run.pid}/stat`)));
    expect(Date.now() - before).toBeLessThan(wallTime + (isSlow ? 20_000 : 1000));
    expect(await run).toMatchObject({ reason: 'timeout' });
  });
});
