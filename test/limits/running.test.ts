// Limits that change, limits within limits, and numbers as they happen.
import { spawnSync } from 'node:child_process';
import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DataPointType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import {
  type LimitEvent,
  type MonitorSample,
  prometheusHandler,
  prometheusMetrics,
  Sandbox,
  type Stats,
  spawnIsolated,
  spawnIsolatedSync,
} from 'nsjs';
import { instrument } from 'nsjs/otel';
import { readText } from '../../dist/cgroup/hierarchies';
import { openDescriptors, sandboxCgroups } from '../leaks/processes';
import { cgroups, hasCgroups, isSlow, rejection, sleep, testIf, thrown } from '../support';

const mebibyte = 2 ** 20;
const eat = (megabytes: number) => ['-e', `my @a; push @a, "x" x 1048576 for 1..${megabytes}; print "ate"`] as const;
const spin = ['-c', 'while :; do :; done'] as const;
const hasCpu = cgroups.version !== undefined && 'cpu' in cgroups.parents;

/** Waits for something to be so. */
async function until(check: () => boolean, ms = isSlow ? 60_000 : 10_000): Promise<void> {
  for (const end = Date.now() + ms; !check(); await sleep(20)) if (Date.now() > end) throw new Error('it never came to be so');
}

describe('update', () => {
  testIf(cgroups.version === 1, 'cgroups of version 1', 'oomGroup can neither be given nor taken while it runs', async () => {
    await using sandbox = await Sandbox.open({ limits: { oomGroup: true } });
    expect(thrown(() => sandbox.update({ oomGroup: false }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
    expect(sandbox.limits).toMatchObject({ oomGroup: true });
  });

  testIf(hasCpu, 'the cpu controller', 'less than the kernel counts is refused', async () => {
    await using sandbox = await Sandbox.open({ limits: { cpu: 1, cpuPeriod: 10 } });
    expect(thrown(() => sandbox.update({ cpu: 0.05 }))).toMatchObject({ name: 'OptionRangeError' });
    expect(sandbox.limits).toMatchObject({ cpu: 1 });
  });

  testIf(hasCgroups, 'cgroups', 'a limit of memory can be raised and lowered while it runs', async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '32M' } });
    expect(await sandbox.spawn('perl', eat(50), { reject: false })).toMatchObject({ reason: 'oom' });
    sandbox.update({ memory: '128M' });
    expect(sandbox.limits).toMatchObject({ memory: 128 * mebibyte, pids: 64 });
    expect(await sandbox.spawn('perl', eat(50))).toMatchObject({ stdout: 'ate' });
    sandbox.update({ memory: '32M' });
    expect(await sandbox.spawn('perl', eat(50), { reject: false })).toMatchObject({ reason: 'oom' });
  });

  testIf(hasCpu, 'the cpu controller', 'a limit of CPU time holds from the moment it is set', async () => {
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

  testIf(hasCgroups, 'cgroups', 'if one limit is refused all stay as they are', async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '64M', pids: 20, cpus: '0' } });
    const error = thrown(() => sandbox.update({ memory: '128M', pids: 30, cpus: '8000' }));
    expect(error).toMatchObject({ name: 'SysError', origin: 'limits.cpus' });
    expect(sandbox.limits).toMatchObject({ memory: 64 * mebibyte, pids: 20 });
    expect(await sandbox.spawn('perl', eat(100), { reject: false })).toMatchObject({ reason: 'oom' });
  });

  testIf(
    cgroups.version === 1 && hasCpu,
    'cgroups of version 1',
    'what version 1 cannot hold is an error, and periods are kept',
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
      const folder = sandbox.report.cgroup?.folders.find((path) => existsSync(join(path, 'cpu.cfs_period_us'))) ?? '';
      expect(['period', 'quota'].map((name) => Number(readFileSync(join(folder, `cpu.cfs_${name}_us`), 'latin1')))).toEqual([
        10_000, 20_000,
      ]);
      held.kill('SIGKILL');
      await held;
    },
  );

  test('what holds from the start cannot change', async () => {
    await using sandbox = await Sandbox.open();
    for (const name of ['wallTime', 'cpuTime', 'idle', 'fileSize', 'openFiles'])
      expect(thrown(() => sandbox.update({ [name]: 100 }))).toMatchObject({ path: `limits.${name}` });
    expect(thrown(() => sandbox.update({ memory: 1 }))).toMatchObject({ path: 'limits.memory' });
    expect(thrown(() => sandbox.update({ memori: 1 } as object))).toMatchObject({ path: 'limits.memori' });
    await sandbox.close();
    expect(thrown(() => sandbox.update({ memory: '64M' }))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    expect(thrown(() => sandbox.stats())).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  testIf(!hasCgroups, 'a user without cgroups', 'without cgroups nothing can change', async () => {
    await using sandbox = await Sandbox.open();
    expect(thrown(() => sandbox.update({ memory: '64M' }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
  });
});

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

test('a blocking call is watched as well', () => {
  const still = spawnIsolatedSync('sleep', ['100'], { limits: { idle: 300 }, timeout: 30_000, reject: false });
  expect(still).toMatchObject({ reason: 'timeout', limits: { time: 'idle' } });
  const line = 'for i in 1 2 3; do while :; do :; done & done; wait';
  const busy = spawnIsolatedSync('/bin/sh', ['-c', line], { limits: { cpuTime: 500 }, timeout: 30_000, reject: false });
  expect(busy).toMatchObject({ reason: 'timeout', limits: { time: 'cpuTime' } });
});

describe('numbers', () => {
  test('stats tell what the sandbox uses', async () => {
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

  test('a single run has them too, as long as it runs', async () => {
    const run = spawnIsolated('sleep', ['100'], { reject: false });
    expect(thrown(() => run.stats())).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    await run.spawned;
    expect(run.stats().pids.current).toBe(2);
    run.kill('SIGKILL');
    await run;
    expect(thrown(() => run.stats())).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  test('monitor gives samples with what has changed, until it is closed', async () => {
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

  test('monitor ends with its signal, and refuses what is no interval', async () => {
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

  testIf(hasCgroups, 'cgroups', 'memory of its own that is almost used up is an event of the program', async () => {
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
    // One that listens too late starts nothing.
    const timers = jest.spyOn(globalThis, 'setInterval');
    run.events.on('limit', () => {});
    expect(timers).not.toHaveBeenCalled();
    timers.mockRestore();
  });

  test('numbers come again once there are descriptors again', () => {
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

  testIf(hasCgroups, 'cgroups', 'limits that are met are events', async () => {
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

  test('its end is told: why, and what it used', async () => {
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

describe('metrics', () => {
  test("Prometheus: cAdvisor's names, and what stats tell", async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '128M' } });
    await using other = await Sandbox.open();
    const text = prometheusMetrics();
    for (const { id } of [sandbox, other]) expect(text).toMatch(new RegExp(`^container_memory_usage_bytes\\{id="${id}"\\} \\d+$`, 'm'));
    expect(text).toContain(`container_spec_memory_limit_bytes{id="${sandbox.id}"} ${128 * mebibyte}`);
    expect(text).toMatch(/^container_network_receive_bytes_total\{id="[^"]+",interface="lo"\} 0$/m);
    const names = [...text.matchAll(/^# TYPE (\S+) (counter|gauge)$/gm)].map(([, name]) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const line of text.trim().split('\n'))
      expect(line).toMatch(/^(# (HELP|TYPE) \S+ .+|[a-z_]+\{id="[^"]+"(,[a-z_]+="[^"]*")*\} [\d.e+-]+)$/);
    expect(prometheusMetrics([sandbox])).not.toContain(other.id);
  });

  test('Prometheus: served over HTTP', async () => {
    await using sandbox = await Sandbox.open();
    const server = createServer(prometheusHandler()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    const body = await new Promise<string>((resolve, reject) => {
      get({ port, host: '127.0.0.1', path: '/metrics' }, (response) => {
        expect(response.headers['content-type']).toContain('version=0.0.4');
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve(text));
      }).on('error', reject);
    });
    server.close();
    expect(body).toContain(sandbox.id);
  });

  test('OpenTelemetry: observed when it collects, runs are counted', async () => {
    class Reader extends MetricReader {
      protected override async onForceFlush(): Promise<void> {}
      protected override async onShutdown(): Promise<void> {}
    }
    const reader = new Reader();
    const instrumentation = instrument({ meterProvider: new MeterProvider({ readers: [reader] }) });
    await using sandbox = await Sandbox.open();
    await spawnIsolated('true');
    await rejection(spawnIsolated('sleep', ['100'], { timeout: 100 }));
    spawnIsolatedSync('true');
    thrown(() => spawnIsolatedSync('/bin/sh', ['-c', 'kill -TERM $$']));
    const read = async () => {
      const { resourceMetrics, errors } = await reader.collect();
      expect(errors).toEqual([]);
      return new Map(resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics).map((metric) => [metric.descriptor.name, metric]));
    };
    const metrics = await read();
    const memory = metrics.get('container.memory.usage');
    expect(memory?.descriptor.unit).toBe('By');
    expect(memory?.dataPoints).toEqual([
      expect.objectContaining({ attributes: { 'container.id': sandbox.id }, value: expect.any(Number) }),
    ]);
    expect(metrics.get('container.cpu.time')?.dataPointType).toBe(DataPointType.SUM);
    const runs = metrics.get('nsjs.runs')?.dataPoints.map(({ attributes, value }) => [attributes['nsjs.reason'], value]);
    expect(runs).toEqual(
      expect.arrayContaining([
        ['exited', 2],
        ['timeout', 1],
        ['signaled', 1],
      ]),
    );
    instrumentation.stop();
    await spawnIsolated('true');
    const later = (await read()).get('nsjs.runs')?.dataPoints.map(({ value }) => value);
    expect(later).toEqual([2, 1, 1]);
  });
});

testIf(!hasCgroups, 'a user without cgroups', 'the watchdog ends what takes too much memory together, and says what it can', async () => {
  const line = 'for i in 1 2 3 4 5 6; do perl -e \'my $a = "x" x (10 * 1048576); sleep 100\' & done; wait';
  const result = await spawnIsolated('/bin/sh', ['-c', line], { limits: { memory: '64M' }, timeout: 30_000, reject: false });
  expect(result).toMatchObject({ reason: 'oom', signal: 'SIGKILL' });
  const shared = 'my $a = "x" x (20 * 1048576); fork; fork; fork; sleep 1; print "."';
  const kept = await spawnIsolated('perl', ['-e', shared], { limits: { memory: '96M' }, timeout: 30_000, reject: false });
  expect(kept).toMatchObject({ reason: 'exited' });
  const { report } = await spawnIsolated('true', [], { limits: { cpuTime: 1000 } });
  expect(report.dropped.map(({ control }) => control)).toEqual(expect.arrayContaining(['cgroup', 'limits.cpuTime']));
  const refused = spawnIsolated('true', [], { limits: { cpu: 0.5 } });
  await expect(refused).rejects.toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED', message: expect.stringContaining('limits.cpu') });
  const told = await spawnIsolated('true', [], { limits: { cpu: 0.5 }, cgroup: 'prefer' });
  expect(told.report.dropped.map(({ control }) => control)).toContain('limits.cpu');
});

test('one sample is what its type says', async () => {
  await using sandbox = await Sandbox.open();
  const { time, cpu, memory, pids }: Stats = sandbox.stats();
  expect(Date.now() - time).toBeLessThan(isSlow ? 10_000 : 1000);
  for (const value of [cpu.usageMs, memory.usage, pids.current]) expect(value).toBeGreaterThanOrEqual(0);
});
