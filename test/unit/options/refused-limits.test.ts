import { spawnIsolated } from 'nsjs';
import { thrown } from '../../support/host';

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
