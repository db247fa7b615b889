// Where cgroups are made, and that none stays.

import { type ChildProcess, fork } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { Sandbox, spawnIsolated } from 'nsjs';
import { parseIo, parseKeyed, parseNetDev, parsePressure } from '../../dist/cgroup/files';
import { folderOf, parseMemberships, parseMounts } from '../../dist/cgroup/hierarchies';
import { controllersFor, settingsOf } from '../../dist/cgroup/settings';
import { sweep } from '../../dist/cgroup/sweep';
import { cgroups, hasCgroups, isRoot, sleep, testIf, thrown, trySh } from '../support';

const folders = [...new Set(Object.values(cgroups.version === undefined ? {} : cgroups.parents))];
const groupsNow = () => folders.flatMap((folder) => readdirSync(folder).filter((name) => name.startsWith('nsjs-')));

testIf(hasCgroups && isRoot, 'cgroups of root', 'cgroup.parent: sandboxes are made there, and it stays', async () => {
  const parent = `/nsjs-test-${process.pid}/web`;
  const { report } = await spawnIsolated('true', [], { cgroup: { parent } });
  const made = (report.cgroup?.folders ?? []).map((folder) => join(folder, '..'));
  expect(made.length).toBeGreaterThan(0);
  for (const folder of made) {
    expect(folder).toContain(parent);
    expect(readdirSync(folder).filter((name) => name.startsWith('nsjs-'))).toEqual([]);
  }
  const result = await trySh('perl -e \'my @a; push @a, "x" x 1048576 for 1..100\'', {
    cgroup: { parent },
    limits: { memory: '32M', oomGroup: true },
  });
  expect(result.reason).toBe('oom');
  for (const root of [...new Set(made)].map((folder) => folder.slice(0, folder.indexOf('/web')))) {
    for (const folder of [join(root, 'web'), root]) if (existsSync(folder)) rmdirSync(folder);
  }
  // What other hierarchies have of it.
  for (const mount of parseMounts(readFileSync('/proc/self/mountinfo', 'latin1')))
    for (const folder of [join(mount.folder, parent), join(mount.folder, parent, '..')]) if (existsSync(folder)) rmdirSync(folder);
});

testIf(
  cgroups.version === 1 && isRoot,
  'cgroups of version 1 of root',
  'oomGroup: that a group above ran out of memory ends nobody else',
  async () => {
    const parent = `/nsjs-test-above-${process.pid}`;
    const { report } = await spawnIsolated('true', [], { cgroup: { parent } });
    const made = (report.cgroup?.folders ?? []).map((folder) => join(folder, '..'));
    const memory = made.find((folder) => existsSync(join(folder, 'memory.limit_in_bytes'))) ?? '';
    writeFileSync(join(memory, 'memory.limit_in_bytes'), '90M');
    const still = spawnIsolated('sleep', ['2'], { cgroup: { parent }, limits: { memory: '64M', oomGroup: true }, reject: false });
    await still.spawned;
    const eat = 'my @a; push @a, "x" x 1048576 for 1..150';
    await spawnIsolated('perl', ['-e', eat], { cgroup: { parent }, limits: { memory: '200M' }, reject: false });
    expect(Number(readFileSync(join(memory, 'memory.failcnt'), 'latin1'))).toBeGreaterThan(0);
    expect(await still).toMatchObject({ reason: 'exited', exitCode: 0, limits: { oomKills: 0 } });
    for (const folder of new Set(made)) rmdirSync(folder);
    // Those that were made for no limit of these runs.
    for (const mount of parseMounts(readFileSync('/proc/self/mountinfo', 'latin1')))
      if (existsSync(join(mount.folder, parent))) rmdirSync(join(mount.folder, parent));
  },
);

testIf(hasCgroups, 'cgroups', 'cgroup.parent: a group that cannot be made is an error with its path', async () => {
  for (const parent of ['relative', '/a/../b', '/', '/a//b', ''])
    expect(thrown(() => spawnIsolated('true', [], { cgroup: { parent } }))).toMatchObject({ path: 'cgroup.parent' });
  expect(thrown(() => spawnIsolated('true', [], { cgroup: { parents: '/a' } as object }))).toMatchObject({ path: 'cgroup.parents' });
});

testIf(hasCgroups, 'cgroups', 'what a process left that died goes, what the living have stays', async () => {
  const [folder = ''] = folders;
  const dead = join(folder, 'nsjs-4194303-1-000000000');
  const young = join(folder, 'nsjs-4194302-1-000000000');
  const other = join(folder, `nsjs-test-other-${process.pid}`);
  for (const path of [dead, join(dead, 'p1'), young, other]) mkdirSync(path);
  const long = Date.now() / 1000 - 60;
  for (const path of [dead, other]) utimesSync(path, long, long);
  const sandbox = await Sandbox.open();
  sweep(folders);
  expect([dead, young, other].map((path) => existsSync(path))).toEqual([false, true, true]);
  expect(await sandbox.spawn('echo', ['alive'])).toMatchObject({ stdout: 'alive' });
  await sandbox.close();
  for (const path of [young, other]) rmdirSync(path);
});

testIf(hasCgroups, 'cgroups', 'a killed process leaves no group', async () => {
  const script = join(__dirname, '../leaks/spawner.js');
  const child: ChildProcess = fork(script, [], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  const of = () => groupsNow().filter((name) => name.startsWith(`nsjs-${child.pid}-`));
  child.kill('SIGKILL');
  for (let waited = 0; of().length > 0 && waited < 20_000; waited += 50) await sleep(50);
  expect(of()).toEqual([]);
});

testIf(hasCgroups, 'cgroups', 'threads of one process name their groups apart', async () => {
  const script = `const { spawnIsolated } = require(${JSON.stringify(process.cwd())}); const { parentPort } = require('node:worker_threads');
    spawnIsolated('sleep', ['0.3']).then(({ report }) => parentPort.postMessage(report.cgroup.folders[0]));`;
  const told = await Promise.all(
    [1, 2, 3].map(
      () => new Promise((resolve, reject) => new Worker(script, { eval: true }).once('message', resolve).once('error', reject)),
    ),
  );
  expect(new Set(told).size).toBe(3);
});

describe('readers', () => {
  test('memberships and mounts of version 1, 2 and both', () => {
    expect(parseMemberships('5:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c d\n')).toEqual([
      { controllers: ['cpu', 'cpuacct'], path: '/a' },
      { controllers: ['name=systemd'], path: '/b' },
      { controllers: [], path: '/c d' },
    ]);
    const [mount] = parseMounts(
      '30 23 0:26 /own /sys/fs/cgroup/my\\040mem rw shared:9 - cgroup cgroup rw,memory\n31 1 8:1 / / rw - ext4 /dev/sda1 rw',
    );
    expect(mount).toEqual({ version: 1, folder: '/sys/fs/cgroup/my mem', root: '/own', options: ['rw', 'memory'] });
    if (mount) expect(folderOf(mount, '/own/sub')).toBe('/sys/fs/cgroup/my mem/sub');
  });

  test('files of both versions', () => {
    expect(parseKeyed('usage_usec 12\nuser_usec 3\n\nodd line here\n').get('usage_usec')).toBe(12);
    expect(parseIo('8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=0 rios=1 wios=0')).toEqual({
      read: 11,
      write: 20,
      readOperations: 2,
      writeOperations: 2,
    });
    expect(parseIo('8:0 Read 5\n8:0 Write 6\n8:0 Sync 11\n8:0 Total 11\nTotal 11')).toMatchObject({ read: 5, write: 6 });
    expect(parsePressure('some avg10=0.10 avg60=0.20 avg300=0.30 total=1500\n')).toEqual({
      some: { avg10: 0.1, avg60: 0.2, avg300: 0.3, totalMs: 1.5 },
    });
    const device =
      'Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n    lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n';
    expect(parseNetDev(device)).toEqual({ lo: { received: 1, receivedPackets: 2, sent: 3, sentPackets: 4 } });
  });

  test('whatever they are given they give numbers', () => {
    const lines = fc.array(
      fc.oneof(fc.string(), fc.constantFrom('rbytes=1', 'some avg10=0 avg60=0 avg300=0 total=1', 'a 1', '0::/x', 'lo: 1 2')),
    );
    fc.assert(
      fc.property(lines, (parts) => {
        const text = parts.join('\n');
        for (const parse of [parseKeyed, parseIo, parsePressure, parseNetDev, parseMemberships, parseMounts]) parse(text);
      }),
    );
  });
});

describe('settings', () => {
  const kind = { swapAccounting: true, ownProcesses: 1 };
  const text = (version: 1 | 2, limits: Parameters<typeof settingsOf>[0]) =>
    settingsOf(limits, { ...kind, version }).map(({ file, value }) => `${file} ${value}`);

  test('version 2', () => {
    expect(text(2, { memory: 100, pids: 5, cpu: 0.5, cpuPeriod: 50, cpuBurst: 10, cpuWeight: 10, cpus: '0-1', memoryNodes: '0' })).toEqual([
      'memory.max 100',
      'memory.swap.max 0',
      'pids.max 6',
      'cpu.max 25000 50000',
      'cpu.max.burst 10000',
      'cpu.weight 10',
      'cpuset.cpus 0-1',
      'cpuset.mems 0',
    ]);
    expect(
      text(2, { io: [{ device: '8:0', readBytes: 1, writeOperations: 2 }], ioWeight: 5, hugetlb: { '2MB': 0 }, oomGroup: true }),
    ).toEqual(['memory.oom.group 1', 'io.weight default 5', 'io.max 8:0 rbps=1 wbps=max riops=max wiops=2', 'hugetlb.2MB.max 0']);
  });

  test('version 1', () => {
    expect(text(1, { memory: 100, swap: 50, pids: 5, cpu: 2, cpuWeight: 100 })).toEqual([
      'memory.limit_in_bytes 100',
      'memory.memsw.limit_in_bytes 150',
      'memory.kmem.tcp.limit_in_bytes 12',
      'pids.max 6',
      'cpu.cfs_period_us 100000',
      'cpu.cfs_quota_us 200000',
      'cpu.shares 1024',
    ]);
    expect(text(1, { io: [{ device: '8:0', readBytes: 1, writeOperations: 2 }] })).toEqual([
      'blkio.throttle.read_bps_device 8:0 1',
      'blkio.throttle.write_bps_device 8:0 0',
      'blkio.throttle.read_iops_device 8:0 0',
      'blkio.throttle.write_iops_device 8:0 2',
    ]);
  });

  test('which controllers they need', () => {
    expect(controllersFor({ wallTime: 5, fileSize: 1, openFiles: 20 })).toEqual([]);
    expect(controllersFor({ cpu: 1, memory: 5 })).toEqual(['memory', 'cpu']);
  });
});

test.each([
  [{ cpu: 0 }, 'limits.cpu'],
  [{ cpu: '1' }, 'limits.cpu'],
  [{ cpu: Number.NaN }, 'limits.cpu'],
  [{ cpuPeriod: 100 }, 'limits.cpuPeriod'],
  [{ cpu: 1, cpuPeriod: 0 }, 'limits.cpuPeriod'],
  [{ cpu: 0.05, cpuPeriod: 10 }, 'limits.cpuPeriod'],
  [{ cpuWeight: 0 }, 'limits.cpuWeight'],
  [{ cpuWeight: 10_001 }, 'limits.cpuWeight'],
  [{ cpus: '0-' }, 'limits.cpus'],
  [{ cpus: [] }, 'limits.cpus'],
  [{ cpus: [-1] }, 'limits.cpus[0]'],
  [{ memoryNodes: '0\n1' }, 'limits.memoryNodes'],
  [{ io: {} }, 'limits.io'],
  [{ io: [{ device: '8:0' }] }, 'limits.io[0]'],
  [{ io: [{ device: '8:0 rbps=max', readBytes: 1 }] }, 'limits.io[0].device'],
  [{ io: [{ device: '8:0', readBytes: 0 }] }, 'limits.io[0].readBytes'],
  [{ hugetlb: { '2mb': 1 } }, 'limits.hugetlb.2mb'],
  [{ unified: { '../../x': '1' } }, 'limits.unified.../../x'],
  [{ unified: { 'cgroup.procs': '1' } }, 'limits.unified.cgroup.procs'],
  [{ unified: { 'memory.high': 1 } }, 'limits.unified.memory.high'],
  [{ idle: 0 }, 'limits.idle'],
  [{ cpuTime: -1 }, 'limits.cpuTime'],
  [{ oomGroup: 1 }, 'limits.oomGroup'],
])('%j is refused', (limits, path) => {
  const error = thrown(() => spawnIsolated('true', [], { limits: limits as object }));
  expect(error).toMatchObject({ path });
  expect(['OptionError', 'OptionRangeError']).toContain(error.name);
});
