// The usage in a result: values that are not known are undefined, not 0.
import { Sandbox, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { hasCgroups, isSlow, sleep, testIf } from '../../support';

const mebibyte = 2 ** 20;
// Time in which perl starts and allocates its memory.
const enough = isSlow ? 8000 : 500;
const eater = ['-e', 'my $a = "x" x (20 * 1048576); $| = 1; print "ready"; 1 while 1'] as const;

/** Returns whether a CPU time is either unknown or plausible for a program that was busy for 0.3 s. */
const isPlausible = (ms: number | undefined): boolean => ms === undefined || ms > 50;

test('the usage of a program that ended by itself is complete', async () => {
  const line = 'head -c 10M /dev/zero | wc -c';
  for (const { usage } of [await spawnIsolated('sh', ['-c', line]), spawnIsolatedSync('sh', ['-c', line])]) {
    expect(usage.maxRss).toBeGreaterThan(mebibyte / 2);
    expect(usage.cpuUserMs).toBeGreaterThanOrEqual(0);
    expect(usage.minorFaults).toBeGreaterThan(0);
    expect(usage.voluntarySwitches).toBeGreaterThan(0);
  }
});

test('the usage of a program that was killed with its sandbox has no value that is 0 because it is unknown', async () => {
  const running = spawnIsolated('perl', eater, { reject: false });
  await new Promise((resolve) => running.stdout?.once('data', resolve));
  await sleep(300);
  running.kill('SIGKILL');
  const blocking = spawnIsolatedSync('perl', eater, { timeout: enough, killSignal: 'SIGKILL', reject: false });
  const limited = await spawnIsolated('perl', eater, { limits: { wallTime: enough }, reject: false });
  for (const { usage } of [await running, blocking, limited]) {
    // The usage is unknown if init was killed before it could wait for the program.
    if (usage.maxRss === undefined) expect([usage.minorFaults, usage.voluntarySwitches]).toEqual([undefined, undefined]);
    else expect(usage.maxRss).toBeGreaterThan(20 * mebibyte);
    expect(isPlausible(usage.cpuUserMs)).toBe(true);
    if (hasCgroups) expect(usage.memoryPeak).toBeGreaterThan(20 * mebibyte);
  }
});

testIf(hasCgroups, 'cgroups', 'a program with its own limits has its own memory peak', async () => {
  await using sandbox = await Sandbox.open({ limits: { memory: '256M' } });
  const small = await sandbox.spawn('true', [], { limits: { memory: '64M' } });
  expect(small.usage.memoryPeak).toBeLessThan(20 * mebibyte);
  const large = await sandbox.spawn('perl', eater, { limits: { memory: '64M' }, timeout: enough, killGrace: 0, reject: false });
  expect(large.usage.memoryPeak).toBeGreaterThan(20 * mebibyte);
  expect(large.usage.memoryPeak).toBeLessThanOrEqual(64 * mebibyte);
  expect(large.usage.maxRss).toBeGreaterThan(20 * mebibyte);
});
