import { checkQuota, controllersFor, onlyVersion2, settingsOf, tcpMemory } from '../../../dist/cgroup/settings';
import { thrown } from '../../support/host';

describe('settings', () => {
  const kind = { swapAccounting: true, ownProcesses: 1 };
  const text = (version: 1 | 2, limits: Parameters<typeof settingsOf>[0]) =>
    settingsOf(limits, { ...kind, version }).map(({ file, value }) => `${file} ${value}`);

  test('version 2 has its own files and values', () => {
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

  test('version 1 has its own files and values', () => {
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

  test('only limits that use cgroups need controllers', () => {
    expect(controllersFor({ wallTime: 5, fileSize: 1, openFiles: 20 })).toEqual([]);
    expect(controllersFor({ cpu: 1, memory: 5 })).toEqual(['memory', 'cpu']);
  });
});

describe('memory and swap', () => {
  const kind = { ownProcesses: 0 };
  const files = (version: 1 | 2, limits: Parameters<typeof settingsOf>[0], swapAccounting = true) =>
    settingsOf(limits, { ...kind, version, swapAccounting }).map(({ file, value, optional }) => [file, value, optional ?? false]);

  test('version 2 limits swap separately, and this limit is optional', () => {
    expect(files(2, { memory: 100, swap: 7 })).toEqual([
      ['memory.max', '100', false],
      ['memory.swap.max', '7', true],
    ]);
    expect(files(2, { swap: 7 })).toEqual([['memory.swap.max', '7', true]]);
    expect(files(2, { pids: 1 })).toEqual([['pids.max', '1', false]]);
  });

  test('version 1 limits the sum of memory and swap if it counts swap', () => {
    expect(files(1, { memory: 800, swap: 7 })).toContainEqual(['memory.memsw.limit_in_bytes', '807', false]);
    expect(files(1, { memory: 800, swap: 7 }, false)).toEqual([
      ['memory.limit_in_bytes', '800', false],
      ['memory.kmem.tcp.limit_in_bytes', '100', true],
    ]);
    expect(files(1, { swap: 7 })).toEqual([]);
  });

  test.each([
    [80, 10],
    [2 ** 28, 2 ** 25],
    [2 ** 40, 2 ** 25],
    [7, 0],
  ])('with %i bytes of memory, TCP may use %i', (memory, bytes) => {
    expect(tcpMemory(memory)).toBe(bytes);
  });
});

describe('settings of single options', () => {
  const all = (version: 1 | 2, limits: Parameters<typeof settingsOf>[0]) =>
    settingsOf(limits, { version, swapAccounting: true, ownProcesses: 2 }).map((setting) => ({ ...setting }));

  test('there are none without limits', () => {
    expect([all(1, {}), all(2, {})]).toEqual([[], []]);
  });

  test('each names its controller and its option', () => {
    expect(all(2, { memoryHigh: 5, memoryLow: 4, oomGroup: false })).toEqual([
      { controller: 'memory', file: 'memory.high', value: '5', origin: 'limits.memoryHigh' },
      { controller: 'memory', file: 'memory.low', value: '4', origin: 'limits.memoryLow' },
      { controller: 'memory', file: 'memory.oom.group', value: '0', origin: 'limits.oomGroup' },
    ]);
    expect(all(2, { io: [{ device: '8:0' }, { device: '8:16', writeBytes: 3, readOperations: 4 }] })).toEqual([
      { controller: 'io', file: 'io.max', value: '8:0 rbps=max wbps=max riops=max wiops=max', origin: 'limits.io[0]' },
      { controller: 'io', file: 'io.max', value: '8:16 rbps=max wbps=3 riops=4 wiops=max', origin: 'limits.io[1]' },
    ]);
  });

  test('files in the option unified belong to the controller in their name', () => {
    expect(all(2, { unified: { 'pids.max': 'max', 'cgroup.max.depth': '1' } })).toEqual([
      { controller: 'pids', file: 'pids.max', value: 'max', origin: 'limits.unified.pids.max' },
      { controller: 'memory', file: 'cgroup.max.depth', value: '1', origin: 'limits.unified.cgroup.max.depth' },
    ]);
  });

  test('version 1 has other files', () => {
    expect(all(1, { cpu: 1, cpuBurst: 5, cpus: '0', memoryNodes: '1', ioWeight: 50, hugetlb: { '2MB': 4 } })).toEqual([
      { controller: 'cpu', file: 'cpu.cfs_period_us', value: '100000', origin: 'limits.cpu' },
      { controller: 'cpu', file: 'cpu.cfs_quota_us', value: '100000', origin: 'limits.cpu' },
      { controller: 'cpu', file: 'cpu.cfs_burst_us', value: '5000', origin: 'limits.cpuBurst' },
      { controller: 'cpuset', file: 'cpuset.cpus', value: '0', origin: 'limits.cpus' },
      { controller: 'cpuset', file: 'cpuset.mems', value: '1', origin: 'limits.memoryNodes' },
      { controller: 'io', file: 'blkio.bfq.weight', value: '50', origin: 'limits.ioWeight' },
      { controller: 'hugetlb', file: 'hugetlb.2MB.limit_in_bytes', value: '4', origin: 'limits.hugetlb.2MB' },
    ]);
  });

  test.each([
    [1, '10'],
    [50, '512'],
    [10_000, '102400'],
  ])('a weight of %i is %s shares of version 1', (cpuWeight, value) => {
    expect(all(1, { cpuWeight })).toEqual([{ controller: 'cpu', file: 'cpu.shares', value, origin: 'limits.cpuWeight', optional: true }]);
  });
});

describe('limits that cannot be enforced', () => {
  test('a quota of less than 1 ms is refused', () => {
    expect(thrown(() => checkQuota({ cpu: 0.05, cpuPeriod: 10 }, 'limits'))).toMatchObject({
      path: 'limits.cpuPeriod',
      code: 'ERR_OUT_OF_RANGE',
      message: expect.stringContaining('cpu 0.05 of a period of 10 ms is less than 1 ms'),
    });
  });

  test.each([{}, { cpu: 0.05 }, { cpuPeriod: 10 }, { cpu: 0.1, cpuPeriod: 10 }, { cpu: 1, cpuPeriod: 1 }])(
    'the quota of %j is accepted',
    (limits) => {
      expect(() => checkQuota(limits, 'limits')).not.toThrow();
    },
  );

  test.each([
    [{ memory: 1, swap: 1, pids: 1 }, false, []],
    [{ memoryHigh: 1, memoryLow: 1, unified: {} }, false, ['memoryHigh', 'memoryLow', 'unified']],
    [{ swap: 0 }, false, ['swap']],
    [{ oomGroup: true }, false, []],
    [{ oomGroup: true }, true, ['oomGroup']],
    [{ oomGroup: false }, true, []],
  ])('%j of a cgroup, nested: %p, needs version 2 for %j', (limits, nested, names) => {
    expect(onlyVersion2(limits, nested)).toEqual(names);
  });

  test('the cgroup of a whole sandbox is the default', () => {
    expect(onlyVersion2({ oomGroup: true })).toEqual([]);
  });
});
