import { spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { hasCgroups, testIf } from '../../support';

test('idle and cpuTime are enforced in spawnIsolatedSync as well', () => {
  const still = spawnIsolatedSync('sleep', ['100'], { limits: { idle: 300 }, timeout: 30_000, reject: false });
  expect(still).toMatchObject({ reason: 'timeout', limits: { time: 'idle' } });
  const line = 'for i in 1 2 3; do while :; do :; done & done; wait';
  const busy = spawnIsolatedSync('/bin/sh', ['-c', line], { limits: { cpuTime: 500 }, timeout: 30_000, reject: false });
  expect(busy).toMatchObject({ reason: 'timeout', limits: { time: 'cpuTime' } });
});

testIf(!hasCgroups, 'a user without cgroups', 'the watchdog ends processes that exceed the memory limit together', async () => {
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
