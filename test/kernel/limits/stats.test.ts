import { spawnSync } from 'node:child_process';
import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type LimitEvent, type MonitorSample, Sandbox, type Stats, spawnIsolated } from 'nsjs';
import { hasCgroups, isSlow, sleep, testIf, thrown } from '../../support';
import { until } from '../../support/until';
import { eat, hasCpu, mebibyte, spin } from './load';

describe('statistics', () => {
  test('stats() returns what the sandbox uses', async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '128M', pids: 30 } });
    const run = sandbox.spawn('perl', ['-e', 'my $a = "x" x (20 * 1048576); print STDERR "ready\n"; 1 while 1'], { reject: false });
    await new Promise((resolve) => run.stderr?.once('data', resolve));
    const before = sandbox.stats();
    await sleep(500);
    const after = sandbox.stats();
    expect(after.memory.usage).toBeGreaterThan(20 * mebibyte);
    expect(after.memory).toMatchObject({ limit: 128 * mebibyte });
    expect(after.pids).toMatchObject({ current: 2, limit: 31 });
    expect(after.cpu.usageMs - before.cpu.usageMs).toBeGreaterThan(isSlow ? 50 : 300);
    expect(after.source).toBe(hasCgroups ? 'cgroup' : 'processes');
    expect(Object.keys(after.network ?? {})).toEqual(['lo']);
  });

  test('stats() works for a one-shot run while it runs', async () => {
    const run = spawnIsolated('sleep', ['100'], { reject: false });
    expect(thrown(() => run.stats())).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    await run.spawned;
    expect(run.stats().pids.current).toBe(2);
    run.kill('SIGKILL');
    await run;
    expect(thrown(() => run.stats())).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  test('monitor() yields samples with the changes since the last one until the sandbox is closed', async () => {
    const sandbox = await Sandbox.open();
    void sandbox.spawn('/bin/sh', spin, { reject: false });
    const seen: MonitorSample[] = [];
    const told: unknown[] = [];
    const onSample = (message: unknown) => told.push(message);
    subscribe('nsjs:stats', onSample);
    for await (const sample of sandbox.monitor({ interval: 200 })) {
      seen.push(sample);
      if (seen.length === 4) void sandbox.close();
    }
    unsubscribe('nsjs:stats', onSample);
    expect(seen.length).toBe(4);
    expect(told.length).toBe(4);
    for (const { delta } of seen.slice(1)) {
      expect(delta.ms).toBeGreaterThanOrEqual(190);
      expect(delta.cpu).toBeGreaterThan(0.2);
      expect(delta.cpu).toBeLessThan(1.5);
    }
  });

  test('monitor() ends when its signal is aborted, and refuses invalid options', async () => {
    await using sandbox = await Sandbox.open();
    const controller = new AbortController();
    const ended = (async () => {
      for await (const _ of sandbox.monitor({ interval: 60_000, signal: controller.signal }));
      return 'ended';
    })();
    controller.abort();
    expect(await ended).toBe('ended');
    expect(thrown(() => sandbox.monitor({ interval: 1 }))).toMatchObject({ path: 'interval' });
    expect(thrown(() => sandbox.monitor({ signal: {} as AbortSignal }))).toMatchObject({ path: 'signal' });
    expect(thrown(() => sandbox.monitor({ intervall: 100 } as object))).toMatchObject({ path: 'intervall' });
  });

  testIf(hasCgroups, 'cgroups', 'a program whose own memory limit is almost reached gets a limit event', async () => {
    await using sandbox = await Sandbox.open();
    const told: LimitEvent[] = [];
    const run = sandbox.spawn('perl', ['-e', 'my $a = "x" x (18 * 1048576); sleep 2'], {
      limits: { memory: '40M' },
      reject: false,
    });
    run.events.on('limit', (event) => told.push(event));
    await run;
    expect(told).toContainEqual(
      expect.objectContaining({
        kind: 'memory-near',
        stats: expect.objectContaining({ memory: expect.objectContaining({ limit: 40 * mebibyte }) }),
      }),
    );
    // A listener that is added after the end starts no timer.
    const timers = jest.spyOn(globalThis, 'setInterval');
    run.events.on('limit', () => {});
    expect(timers).not.toHaveBeenCalled();
    timers.mockRestore();
  });

  test('stats() works again once descriptors are available again', () => {
    const code = `
      const { closeSync, openSync } = require('node:fs');
      const { Sandbox } = require(${JSON.stringify(require.resolve('nsjs'))});
      const held = [];
      (async () => {
        const sandbox = await Sandbox.open();
        try { for (;;) held.push(openSync('/dev/null', 'r')); } catch {}
        try { sandbox.stats(); console.log('numbers'); } catch ({ code }) { console.log(code); }
        for (const fd of held) closeSync(fd);
        console.log(sandbox.stats().pids.current > 0);
        await sandbox.close();
      })();`;
    const line = 'ulimit -n 256; exec "$0" -e "$1"';
    const { stdout } = spawnSync('/bin/sh', ['-c', line, process.execPath, code], { encoding: 'utf8' });
    expect(stdout.split('\n').slice(-2)).toEqual(['true', '']);
  });

  testIf(hasCgroups, 'cgroups', 'reaching a limit of the sandbox emits limit events', async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '64M', pids: 5, ...(hasCpu ? { cpu: 0.2 } : {}) } });
    const kinds = new Set<LimitEvent['kind']>();
    const told = new Set<unknown>();
    const onLimit = (message: unknown) => told.add((message as { readonly sandbox: string }).sandbox);
    subscribe('nsjs:limit', onLimit);
    sandbox.events.on('limit', ({ kind }) => kinds.add(kind));
    await sandbox.spawn('perl', ['-e', 'my $a = "x" x (30 * 1048576); sleep 1'], { reject: false });
    await sandbox.spawn('perl', eat(100), { reject: false });
    await sandbox.spawn('/bin/sh', ['-c', 'for i in 1 2 3 4 5 6 7; do sleep 1 & done; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'], {
      reject: false,
    });
    await until(() => kinds.has('pids') && kinds.has('oom'));
    unsubscribe('nsjs:limit', onLimit);
    expect([...kinds].sort()).toEqual(expect.arrayContaining(['memory-near', 'oom', 'pids', ...(hasCpu ? ['cpu'] : [])].sort()));
    expect([...told]).toEqual([sandbox.id]);
  });

  test('the close event has the reason and the usage of the sandbox', async () => {
    const told: unknown[] = [];
    const onClose = (message: unknown) => told.push(message);
    subscribe('nsjs:sandbox:close', onClose);
    const sandbox = await Sandbox.open();
    expect(Sandbox.list()).toContain(sandbox);
    const closed = new Promise((resolve) => sandbox.events.once('close', resolve));
    await sandbox.spawn('true');
    await sandbox.close();
    const end = await sandbox.ended;
    expect(end).toMatchObject({ reason: 'killed' });
    expect((end.usage.cpuSystemMs ?? 0) + (end.usage.cpuUserMs ?? 0)).toBeGreaterThan(0);
    expect(await closed).toBe(end);
    expect(told).toEqual([{ sandbox, end }]);
    expect(Sandbox.list()).not.toContain(sandbox);
    unsubscribe('nsjs:sandbox:close', onClose);
    expect(channel('nsjs:sandbox:close').hasSubscribers).toBe(false);
  });
});

test('one sample matches its type', async () => {
  await using sandbox = await Sandbox.open();
  const { time, cpu, memory, pids }: Stats = sandbox.stats();
  expect(Date.now() - time).toBeLessThan(isSlow ? 10_000 : 1000);
  for (const value of [cpu.usageMs, memory.usage, pids.current]) expect(value).toBeGreaterThanOrEqual(0);
});
