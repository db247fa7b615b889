// What a result tells of usage: what nobody knows is not said to be 0.
import { Sandbox, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { hasCgroups, isSlow, sleep, testIf } from '../../support';

const mebibyte = 2 ** 20;
// For perl to have started and taken what it takes.
const enough = isSlow ? 8000 : 500;
const eater = ['-e', 'my $a = "x" x (20 * 1048576); $| = 1; print "ready"; 1 while 1'] as const;

/** Either unknown, or what 0.3 s of a busy program come to. */
const isPlausible = (ms: number | undefined): boolean => ms === undefined || ms > 50;

test('of a program that ended by itself everything that is waited for is known', async () => {
  const line = 'head -c 10M /dev/zero | wc -c';
  for (const { usage } of [await spawnIsolated('sh', ['-c', line]), spawnIsolatedSync('sh', ['-c', line])]) {
    expect(usage.maxRss).toBeGreaterThan(mebibyte / 2);
    expect(usage.cpuUserMs).toBeGreaterThanOrEqual(0);
    expect(usage.minorFaults).toBeGreaterThan(0);
    expect(usage.voluntarySwitches).toBeGreaterThan(0);
  }
});

test('of one that was killed with its sandbox nothing is 0 that is not', async () => {
  const running = spawnIsolated('perl', eater, { reject: false });
  await new Promise((resolve) => running.stdout?.once('data', resolve));
  await sleep(300);
  running.kill('SIGKILL');
  const blocking = spawnIsolatedSync('perl', eater, { timeout: enough, killSignal: 'SIGKILL', reject: false });
  const limited = await spawnIsolated('perl', eater, { limits: { wallTime: enough }, reject: false });
  for (const { usage } of [await running, blocking, limited]) {
    // Where init was killed before it could wait for the program nobody knows.
    if (usage.maxRss === undefined) expect([usage.minorFaults, usage.voluntarySwitches]).toEqual([undefined, undefined]);
    else expect(usage.maxRss).toBeGreaterThan(20 * mebibyte);
    expect(isPlausible(usage.cpuUserMs)).toBe(true);
    if (hasCgroups) expect(usage.memoryPeak).toBeGreaterThan(20 * mebibyte);
  }
});

testIf(hasCgroups, 'cgroups', 'a program with limits of its own has its own peak', async () => {
  await using sandbox = await Sandbox.open({ limits: { memory: '256M' } });
  const small = await sandbox.spawn('true', [], { limits: { memory: '64M' } });
  expect(small.usage.memoryPeak).toBeLessThan(20 * mebibyte);
  const large = await sandbox.spawn('perl', eater, { limits: { memory: '64M' }, timeout: enough, killGrace: 0, reject: false });
  expect(large.usage.memoryPeak).toBeGreaterThan(20 * mebibyte);
  expect(large.usage.memoryPeak).toBeLessThanOrEqual(64 * mebibyte);
  expect(large.usage.maxRss).toBeGreaterThan(20 * mebibyte);
});
