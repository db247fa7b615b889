// Each limit is tested by a program that reaches it: what the program obtained, the error it got, and what the host
// counted.
import { cpus } from 'node:os';
import { type Limits, Sandbox, spawnIsolated } from 'nsjs';
import { cgroups, hasCgroups, isSlow, rejection, sh, sleep, temporaryDirectory, testIf, trySh } from '../../support';

const mebibyte = 2 ** 20;
const isVersion2 = cgroups.version === 2;
const has = (name: 'cpu' | 'cpuset' | 'hugetlb' | 'memory') => hasCgroups && cgroups.version !== undefined && name in cgroups.parents;
const twoCpus = cpus().length >= 2;

const perl = (program: string, limits: Limits, timeout = 60_000) =>
  spawnIsolated('perl', ['-e', program], { limits, timeout, reject: false, encoding: 'utf8' });

testIf(hasCgroups, 'cgroups', 'memory: a program never exceeds the limit, whatever kind of memory it uses', async () => {
  const limit = 48 * mebibyte;
  for (const program of [
    'my @a; for (1..200) { push @a, "x" x 1048576; print "$_\\n"; $| = 1 }',
    'open my $f, ">", "/tmp/x"; for (1..63) { print $f "x" x 1048576; print "$_\\n"; $| = 1 }',
    '$| = 1; for (1..200) { my $p = fork; if (!$p) { my $a = "x" x (4 * 1048576); sleep 100 } print "$_\\n" }',
  ]) {
    const result = await perl(program, { memory: limit, pids: 300 }, 20_000);
    expect(result.usage.memoryPeak).toBeGreaterThan(limit * 0.9);
    expect(result.usage.memoryPeak).toBeLessThanOrEqual(limit * 1.05);
    expect(result.limits.oomKills + Number(result.stdout.split('\n').length < 60)).toBeGreaterThan(0);
    expect(result.limits.memory).toBeGreaterThan(0);
  }
});

testIf(hasCgroups, 'cgroups', 'memory: a program below the limit runs to its end', async () => {
  const result = await perl('my $a = "x" x (20 * 1048576); print length $a', { memory: '64M' });
  expect(result).toMatchObject({ reason: 'exited', exitCode: 0, stdout: `${20 * mebibyte}` });
});

testIf(isVersion2, 'cgroups of version 2', 'memoryHigh: the program is slowed down and its memory reclaimed, not killed', async () => {
  // Only slightly above the limit: the further above, the longer the kernel delays the program.
  const result = await trySh('head -c 20M /dev/zero > /tmp/x; echo done', { limits: { memory: '512M', memoryHigh: '20M' } });
  expect(result).toMatchObject({ reason: 'exited', stdout: 'done', limits: { oomKills: 0 } });
  expect(result.limits.memoryHigh).toBeGreaterThan(0);
});

testIf(isVersion2, 'cgroups of version 2', 'unified: cgroup files without an option of their own are written unchanged', async () => {
  const { report } = await spawnIsolated('true', [], { limits: { unified: { 'memory.zswap.max': '0' } } });
  expect(report.limits.unified).toEqual({ 'memory.zswap.max': '0' });
  const failing = spawnIsolated('true', [], { limits: { unified: { 'memory.nonsense': '1' } } });
  await expect(failing).rejects.toMatchObject({ code: 'ENOENT', origin: 'limits.unified.memory.nonsense' });
});

testIf(hasCgroups, 'cgroups', 'oomGroup: a program with its own limits belongs to the group as well', async () => {
  const sandbox = await Sandbox.open({ limits: { memory: '40M', oomGroup: true } });
  const other = sandbox.spawn('sleep', ['100'], { reject: false });
  await other.spawned;
  const bomb = await sandbox.spawn('perl', ['-e', 'my @a; push @a, "x" x 1048576 for 1..200'], { limits: { pids: 10 }, reject: false });
  expect(bomb.reason).toBe('oom');
  expect((await sandbox.ended).reason).toBe('oom');
  expect((await other).reason).toBe('oom');
});

testIf(cgroups.version === 1, 'cgroups of version 1', 'oomGroup: a memory limit of one program is refused', async () => {
  await using sandbox = await Sandbox.open({ limits: { memory: '40M', oomGroup: true } });
  expect(await rejection(sandbox.spawn('true', [], { limits: { memory: '20M' } }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
});

testIf(hasCgroups, 'cgroups', 'oomGroup: all processes end when one of them is killed', async () => {
  const line = 'sleep 100 & perl -e \'my @a; push @a, "x" x 1048576 for 1..300\'; echo went on';
  const all = await trySh(line, { limits: { memory: '40M', oomGroup: true }, timeout: 60_000 });
  expect(all).toMatchObject({ reason: 'oom', stdout: '', signal: 'SIGKILL' });
  const one = await trySh(`${line}; kill %1`, { limits: { memory: '40M', oomGroup: false }, timeout: 60_000 });
  expect(one).toMatchObject({ reason: 'exited', stdout: 'went on' });
  expect(one.limits.oomKills).toBeGreaterThan(0);
});

const count = `my $n = 1; while (1) { my $p = fork; last unless defined $p; if (!$p) { sleep 100 } $n++ } print "$n $!"`;
testIf(hasCgroups, 'cgroups', 'pids: exactly as many processes can exist as the limit allows, not counting init', async () => {
  for (const limit of [1, 2, 7, 40]) {
    const result = await perl(count, { pids: limit });
    expect(result.stdout).toBe(`${limit} Resource temporarily unavailable`);
    expect(result.limits.pids).toBe(1);
    if (result.usage.pidsPeak !== undefined) expect(result.usage.pidsPeak).toBe(limit + 1);
  }
});

const spin = (processes: number) => `for i in $(seq ${processes}); do while :; do :; done & done; wait`;
const spinMs = 3000;
const points = 0.05;

/** Returns how many CPUs each program uses in the same 3 s: CPU time of its cgroup divided by elapsed time. */
async function shares(line: string, limits: readonly Limits[]): Promise<number[]> {
  // On version 1 the CPU time of a one-shot run is only counted if it has a time limit.
  const runs = limits.map((each) => spawnIsolated('/bin/sh', ['-c', line], { limits: { ...each, wallTime: 100 * spinMs }, reject: false }));
  await Promise.all(runs.map((run) => run.spawned));
  await sleep(spinMs / 10);
  const before = runs.map((run) => run.stats());
  await sleep(spinMs);
  // Read all of them before killing any: the others would get the CPU time that is freed.
  const after = runs.map((run) => run.stats());
  for (const run of runs) run.kill('SIGKILL');
  await Promise.all(runs);
  return after.map(({ source, cpu, time }, index) => {
    expect(source).toBe('cgroup');
    const start = before[index];
    return start ? (cpu.usageMs - start.cpu.usageMs) / (time - start.time) : Number.NaN;
  });
}

testIf(has('cpu'), 'the cpu controller', 'cpu: the share is within 0.05 of the limit over 3 s, and throttling is reported', async () => {
  for (const [cpu, processes] of [[0.25, 1], [0.5, 3], ...(twoCpus && !isSlow ? ([[1.5, 4]] as const) : [])] as const) {
    // With a weight far above that of other cgroups of the machine.
    const [got = 0] = await shares(spin(processes), [{ cpu, cpuWeight: 10_000 }]);
    process.stderr.write(`cpu ${cpu}: got ${got.toFixed(3)}\n`);
    expect(Math.abs(got - cpu)).toBeLessThanOrEqual(points);
  }
  const { limits } = await trySh(spin(1), { limits: { cpu: 0.1, cpuPeriod: 20, wallTime: 500 } });
  expect(limits.cpuThrottled?.periods).toBeGreaterThan(3);
  expect(limits.cpuThrottled?.ms).toBeGreaterThan(50);
});

testIf(has('cpu') && has('cpuset'), 'the cpuset controller', 'cpuWeight: programs share one CPU in proportion to weights', async () => {
  const [heavy = 0, light = 0] = await shares(
    spin(1),
    [80, 20].map((cpuWeight) => ({ cpuWeight, cpus: [0] })),
  );
  process.stderr.write(`weights 80 and 20: got ${heavy.toFixed(3)} and ${light.toFixed(3)}\n`);
  // Other processes of the machine use the CPU too: only the ratio of the two counts.
  expect(Math.abs(heavy / (heavy + light) - 0.8)).toBeLessThanOrEqual(points);
});

testIf(has('cpuset'), 'the cpuset controller', 'cpus: a program cannot use any other CPU', async () => {
  expect(await sh('nproc; grep Cpus_allowed_list /proc/self/status | cut -f2', { limits: { cpus: '0' } })).toBe('1\n0');
  const last = cpus().length - 1;
  expect(await sh('taskset -c 0-99 grep Cpus_allowed_list /proc/self/status | cut -f2', { limits: { cpus: [last] } })).toBe(`${last}`);
  await expect(spawnIsolated('true', [], { limits: { cpus: [8191] } })).rejects.toMatchObject({ origin: 'limits.cpus', syscall: 'write' });
});

testIf(has('hugetlb'), 'the hugetlb controller', 'hugetlb: the limit of huge pages is set and reported', async () => {
  const { report } = await spawnIsolated('true', [], { limits: { hugetlb: { '2MB': '4M' } } });
  expect(report.limits.hugetlb).toEqual({ '2MB': 4 * mebibyte });
});

test('tmpfs: exactly as many bytes and inodes fit as the limits allow', async () => {
  const options = { scratch: { size: '3M', inodes: 20 } } as const;
  const line = (directory: string) =>
    `cat /dev/zero > ${directory}/x; stat -c %s ${directory}/x; rm ${directory}/x; i=0; while touch ${directory}/$i; do i=$((i+1)); done; ls ${directory} | wc -l`;
  for (const directory of ['/tmp', '~']) {
    const { stdout, stderr } = await trySh(line(directory), options);
    expect(stdout).toBe(`${3 * mebibyte}\n19`);
    expect(stderr).toContain('No space left on device');
  }
  const own = await trySh(line('/mine'), { mounts: [{ type: 'tmpfs', target: '/mine', size: '3M', inodes: 20 }] });
  expect(own.stdout).toBe(`${3 * mebibyte}\n19`);
});

test('overlay: changes in memory cannot exceed the size limit', async () => {
  const lower = temporaryDirectory();
  const options = { mounts: [{ type: 'overlay', target: '/o', lower: [lower.path], size: '2M', inodes: 100 } as const] };
  const { stdout, stderr } = await trySh('cat /dev/zero > /o/x; du -k /o/x | cut -f1', options);
  lower.remove();
  expect(Number(stdout)).toBeLessThanOrEqual(2048);
  expect(Number(stdout)).toBeGreaterThan(2048 - 64);
  expect(stderr).toContain('No space left on device');
});

test('fileSize: a file grows exactly to the limit, then the program gets SIGXFSZ', async () => {
  const { stdout, stderr } = await trySh('head -c 5M /dev/zero > /tmp/x; echo $?; stat -c %s /tmp/x', { limits: { fileSize: '1M' } });
  expect(stdout).toBe(`153\n${mebibyte}`);
  expect(stderr).toMatch(/File size limit exceeded/);
});

test('openFiles: exactly as many descriptors can be open as the limit allows', async () => {
  const program = 'my @f; while (open my $f, "<", "/dev/null") { push @f, $f } print scalar(@f) + 3, " $!"';
  expect((await perl(program, { openFiles: 50 })).stdout).toBe('50 Too many open files');
});
