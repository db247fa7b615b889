import { controllersFor, settingsOf } from '../../../dist/cgroup/settings';

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
