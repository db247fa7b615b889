import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Sandbox } from 'nsjs';
import { cgroups, hasCgroups, rejection, sleep, testIf, thrown } from '../../support';
import { until } from '../../support/until';
import { eat, hasCpu, mebibyte, spin } from './load';

describe('update', () => {
  testIf(cgroups.version === 1, 'cgroups of version 1', 'oomGroup cannot be turned off while the sandbox runs', async () => {
    await using sandbox = await Sandbox.open({ limits: { oomGroup: true } });
    expect(thrown(() => sandbox.update({ oomGroup: false }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
    expect(sandbox.limits).toMatchObject({ oomGroup: true });
  });

  testIf(hasCpu, 'the cpu controller', 'a cpu limit below what the kernel can enforce is refused', async () => {
    await using sandbox = await Sandbox.open({ limits: { cpu: 1, cpuPeriod: 10 } });
    expect(thrown(() => sandbox.update({ cpu: 0.05 }))).toMatchObject({ name: 'OptionRangeError' });
    expect(sandbox.limits).toMatchObject({ cpu: 1 });
  });

  testIf(hasCgroups, 'cgroups', 'the memory limit can be raised and lowered while the sandbox runs', async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '32M' } });
    expect(await sandbox.spawn('perl', eat(50), { reject: false })).toMatchObject({ reason: 'oom' });
    sandbox.update({ memory: '128M' });
    expect(sandbox.limits).toMatchObject({ memory: 128 * mebibyte, pids: 64 });
    expect(await sandbox.spawn('perl', eat(50))).toMatchObject({ stdout: 'ate' });
    sandbox.update({ memory: '32M' });
    expect(await sandbox.spawn('perl', eat(50), { reject: false })).toMatchObject({ reason: 'oom' });
  });

  testIf(hasCpu, 'the cpu controller', 'a new cpu limit is enforced from the moment it is set', async () => {
    await using sandbox = await Sandbox.open({ limits: { cpu: 1 } });
    void sandbox.spawn('/bin/sh', spin, { reject: false });
    await until(() => sandbox.stats().cpu.usageMs > 300);
    sandbox.update({ cpu: 0.2 });
    await sleep(300);
    const before = sandbox.stats();
    await sleep(2000);
    const after = sandbox.stats();
    expect((after.cpu.usageMs - before.cpu.usageMs) / (after.time - before.time)).toBeLessThan(0.25);
    expect(after.cpu.throttledPeriods).toBeGreaterThan(0);
  });

  testIf(hasCgroups, 'cgroups', 'if one limit is refused, none of them changes', async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '64M', pids: 20, cpus: '0' } });
    const error = thrown(() => sandbox.update({ memory: '128M', pids: 30, cpus: '8000' }));
    expect(error).toMatchObject({ name: 'SysError', origin: 'limits.cpus' });
    expect(sandbox.limits).toMatchObject({ memory: 64 * mebibyte, pids: 20 });
    expect(await sandbox.spawn('perl', eat(100), { reject: false })).toMatchObject({ reason: 'oom' });
  });

  testIf(
    cgroups.version === 1 && hasCpu,
    'cgroups of version 1',
    'limits that version 1 cannot enforce are refused, and update() keeps cpuPeriod',
    async () => {
      await using sandbox = await Sandbox.open({ limits: { memory: '64M', cpu: 1, cpuPeriod: 10 } });
      expect(thrown(() => sandbox.update({ oomGroup: true }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
      expect(thrown(() => sandbox.update({ memoryHigh: '32M' }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
      expect(await rejection(sandbox.spawn('true', [], { limits: { oomGroup: true, memory: '32M' } }))).toMatchObject({
        code: 'ERR_NSJS_UNSUPPORTED',
      });
      expect(await rejection(sandbox.spawn('true', [], { limits: { swap: '1M' } }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
      const held = sandbox.spawn('sleep', ['100'], { limits: { cpu: 0.5 }, reject: false });
      await held.spawned;
      sandbox.update({ cpu: 2 });
      const directory = sandbox.report.cgroup?.directories.find((path) => existsSync(join(path, 'cpu.cfs_period_us'))) ?? '';
      expect(['period', 'quota'].map((name) => Number(readFileSync(join(directory, `cpu.cfs_${name}_us`), 'latin1')))).toEqual([
        10_000, 20_000,
      ]);
      held.kill('SIGKILL');
      await held;
    },
  );

  test('limits that are fixed from the start, invalid values and closed sandboxes are refused', async () => {
    await using sandbox = await Sandbox.open();
    for (const name of ['wallTime', 'cpuTime', 'idle', 'fileSize', 'openFiles'])
      expect(thrown(() => sandbox.update({ [name]: 100 }))).toMatchObject({ path: `limits.${name}` });
    expect(thrown(() => sandbox.update({ memory: 1 }))).toMatchObject({ path: 'limits.memory' });
    expect(thrown(() => sandbox.update({ memori: 1 } as object))).toMatchObject({ path: 'limits.memori' });
    await sandbox.close();
    expect(thrown(() => sandbox.update({ memory: '64M' }))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    expect(thrown(() => sandbox.stats())).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  testIf(!hasCgroups, 'a user without cgroups', 'update() is refused without cgroups', async () => {
    await using sandbox = await Sandbox.open();
    expect(thrown(() => sandbox.update({ memory: '64M' }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
  });
});
