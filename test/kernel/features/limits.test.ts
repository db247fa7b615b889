import { spawnIsolated } from 'nsjs';
import { hasCgroups, output, rejection, sh, testIf, thrown, trySh } from '../../support';

const eat = (megabytes: number) => ['-e', `my @a; push @a, "x" x 1048576 for 1..${megabytes}; print "ate"`];

test('a program that exceeds the memory limit fails', async () => {
  const result = await spawnIsolated('perl', eat(300), { limits: { memory: '64M' }, reject: false });
  expect(result.stdout).toBe('');
  expect(result.exitCode === 0).toBe(false);
});

test('a program below the memory limit succeeds', async () => {
  expect(await output('perl', eat(100), { limits: { memory: '256M' } })).toBe('ate');
});

testIf(hasCgroups, 'cgroups', 'with a cgroup the reason is oom, and the peak memory is reported', async () => {
  const result = await spawnIsolated('perl', eat(300), { limits: { memory: '64M' }, reject: false });
  expect(result).toMatchObject({ reason: 'oom', signal: 'SIGKILL', exitCode: null });
  expect(result.limits.oomKills).toBeGreaterThan(0);
  expect(result.usage.memoryPeak).toBeGreaterThan(32 * 2 ** 20);
  expect(result.report.cgroup?.directories.length).toBeGreaterThan(0);
});

testIf(hasCgroups, 'cgroups', 'the memory limit applies to the whole sandbox, including files on tmpfs', async () => {
  const result = await trySh('head -c 60M /dev/zero > /tmp/a; head -c 60M /dev/zero > ~/b; echo done', { limits: { memory: '64M' } });
  expect(result.limits.oomKills).toBeGreaterThan(0);
});

testIf(!hasCgroups, 'a user without cgroups', 'without a cgroup the report states that limits apply per process', async () => {
  const { report } = await spawnIsolated('true');
  expect(report.cgroup).toBeUndefined();
  expect(report.dropped).toEqual([
    expect.objectContaining({ control: 'cgroup', reason: expect.stringContaining('per process'), fix: expect.any(String) }),
    expect.objectContaining({ control: 'limits.cpuWeight' }),
    expect.objectContaining({ control: 'limits.openFiles', reason: expect.stringMatching(/all \d+ epoll watches/) }),
  ]);
});

testIf(!hasCgroups, 'a user without cgroups', 'a required cgroup that is not available causes an error', async () => {
  expect(await rejection(spawnIsolated('true', [], { cgroup: 'require' }))).toMatchObject({
    code: 'ERR_NSJS_UNSUPPORTED',
    hint: expect.any(String),
  });
});

test('fork fails above the pids limit', async () => {
  const result = await trySh('for i in $(seq 30); do sleep 5 & done; echo end', { limits: { pids: 10 } });
  expect(`${result.stdout}${result.stderr}`).toMatch(/fork|Resource temporarily/);
  expect(result.durationMs).toBeLessThan(20_000);
});

test('as many processes as the pids limit allows can run', async () => {
  expect(await sh('for i in $(seq 9); do sleep 0.3 & done; wait; echo all', { limits: { pids: 10 } })).toBe('all');
});

test('a fork bomb ends with its sandbox', async () => {
  const result = await trySh('bomb() { bomb | bomb & }; bomb; sleep 0.5; echo survived', { limits: { pids: 32 }, timeout: 5000 });
  expect(result.durationMs).toBeLessThan(25_000);
});

test('cpuTime ends a program in a busy loop', async () => {
  const result = await trySh('while :; do :; done', { limits: { cpuTime: 1000 }, timeout: 20_000 });
  expect(result).toMatchObject({ reason: 'timeout', signal: 'SIGKILL', limits: { time: 'cpuTime' } });
});

test('wallTime kills the program on time even if it ignores signals', async () => {
  const result = await trySh('trap "" TERM INT; sleep 60 & wait; sleep 60', { limits: { wallTime: 300 } });
  expect(result).toMatchObject({ reason: 'timeout', signal: 'SIGKILL' });
  expect(result.durationMs).toBeLessThan(5 * 300 + 500);
});

test('fileSize and openFiles limit each process', async () => {
  expect((await trySh('head -c 2M /dev/zero > /tmp/x', { limits: { fileSize: '1M' } })).exitCode).not.toBe(0);
  expect(await sh('ulimit -n', { limits: { openFiles: 77 } })).toBe('77');
});

test.each([
  [{ memory: 1 }, 'limits.memory'],
  [{ memory: '1X' }, 'limits.memory'],
  [{ pids: 0 }, 'limits.pids'],
  [{ pids: 1.5 }, 'limits.pids'],
  [{ wallTime: 0 }, 'limits.wallTime'],
  [{ memoryy: 1 }, 'limits.memoryy'],
])('%j is refused', (limits, path) => {
  expect(thrown(() => spawnIsolated('true', [], { limits: limits as object }))).toMatchObject({ path });
});
