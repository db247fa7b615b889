// Time limits are enforced whatever the program and this process do.
import { execFileSync } from 'node:child_process';
import { Sandbox, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { hasCgroups, isSlow, sleep, testIf, trySh } from '../../support';

// In a guest without hardware virtualisation everything takes twenty times as long.
const slack = 200 * 5 * (isSlow ? 20 : 1);

const ways = {
  sleeping: 'sleep 100',
  spinning: 'while :; do :; done',
  stopped: 'kill -STOP $$; echo went on',
  'deaf to signals': 'trap "" TERM INT HUP QUIT XCPU ALRM; while :; do sleep 1; done',
  'forking without end': "perl -e 'while (1) { fork; select undef, undef, undef, 0.001 }'",
  'full of zombies': "perl -e 'for (1..40) { exit 0 unless fork } sleep 100'",
  'under ptrace or stopped as a whole': 'sleep 100 & kill -STOP -1; sleep 100',
} as const;

test.each(Object.entries(ways))('wallTime ends a program that is %s', async (_, line) => {
  const result = await trySh(line, { limits: { wallTime: 400 } });
  expect(result).toMatchObject({ reason: 'timeout', signal: 'SIGKILL', stdout: '', limits: { time: 'wallTime' } });
  expect(result.durationMs).toBeGreaterThanOrEqual(395);
  expect(result.durationMs).toBeLessThan(400 + slack);
});

test('wallTime ends a program on time while the event loop is blocked', async () => {
  const run = spawnIsolated('sleep', ['100'], { limits: { wallTime: 300 }, reject: false });
  await run.spawned;
  const pid = run.pid ?? 0;
  // The event loop is blocked until the shell has checked whether the program still exists.
  const seen = execFileSync('/bin/sh', ['-c', `sleep ${(300 + slack) / 1000}; test -e /proc/${pid} && echo there || echo gone`], {
    encoding: 'utf8',
  });
  expect(seen.trim()).toBe('gone');
  expect(await run).toMatchObject({ reason: 'timeout', limits: { time: 'wallTime' } });
});

test('wallTime is enforced in spawnIsolatedSync', () => {
  const result = spawnIsolatedSync('sleep', ['100'], { limits: { wallTime: 200 }, reject: false });
  expect(result).toMatchObject({ reason: 'timeout', limits: { time: 'wallTime' } });
});

test('wallTime of a sandbox ends the sandbox and all its programs', async () => {
  const sandbox = await Sandbox.open({ limits: { wallTime: 500 } });
  const programs = [1, 2].map(() => sandbox.spawn('sleep', ['100'], { reject: false }));
  expect(await sandbox.ended).toMatchObject({ reason: 'timeout', limits: { time: 'wallTime' } });
  for (const program of programs) expect(await program).toMatchObject({ reason: 'timeout', limits: { time: 'wallTime' } });
  expect(sandbox.closed).toBe(true);
});

test('a sandbox that a time limit ends before it is open rejects with the name of the limit', async () => {
  // So many mounts that no machine can set them up within the limit.
  const mounts = Array.from({ length: 1500 }, (_, index) => ({ type: 'tmpfs', target: `/tmp/${index}` }) as const);
  await expect(Sandbox.open({ mounts, limits: { wallTime: 1 } })).rejects.toMatchObject({
    code: 'ERR_NSJS_CLOSED',
    message: expect.stringContaining('limits.wallTime'),
  });
});

test('time limits of one program do not affect the others', async () => {
  await using sandbox = await Sandbox.open();
  const other = sandbox.spawn('sleep', ['100'], { reject: false });
  const result = await sandbox.spawn('/bin/sh', ['-c', 'trap "" TERM; sleep 100 & sleep 100'], {
    limits: { wallTime: 300 },
    reject: false,
  });
  expect(result).toMatchObject({ reason: 'timeout', signal: 'SIGKILL', limits: { time: 'wallTime' } });
  expect(result.durationMs).toBeLessThan(300 + slack);
  expect(sandbox.closed).toBe(false);
  expect(await sandbox.spawn('echo', ['still here'])).toMatchObject({ stdout: 'still here' });
  other.kill('SIGKILL');
  expect(await other).toMatchObject({ reason: 'killed' });
});

testIf(hasCgroups, 'cgroups', 'processes that a program with its own limits leaves behind end with it', async () => {
  await using sandbox = await Sandbox.open();
  const others = () => sandbox.stats().pids.current - 1;
  await sandbox.spawn('/bin/sh', ['-c', 'sleep 100 & setsid sleep 100 &'], { limits: { wallTime: 60_000 } });
  for (let waited = 0; others() > 0 && waited < slack; waited += 20) await sleep(20);
  expect(others()).toBe(0);
  await sandbox.spawn('/bin/sh', ['-c', 'sleep 100 &']);
  expect(others()).toBe(1);
});

test('cpuTime counts all processes of the program together', async () => {
  const line = 'for i in 1 2 3; do while :; do :; done & done; wait';
  const result = await trySh(line, { limits: { cpuTime: 800 }, timeout: 60_000 });
  expect(result).toMatchObject({ reason: 'timeout', limits: { time: 'cpuTime' } });
  const used = (result.usage.cpuUserMs ?? 0) + (result.usage.cpuSystemMs ?? 0);
  expect(used).toBeGreaterThanOrEqual(700);
  expect(used).toBeLessThan(800 + slack);
});

test('cpuTime does not count time that a program sleeps', async () => {
  expect(await trySh('sleep 1; echo done', { limits: { cpuTime: 500 } })).toMatchObject({ reason: 'exited', stdout: 'done' });
});

test('idle ends a program that does nothing, but not one that does a little', async () => {
  const still = await trySh('sleep 100', { limits: { idle: 400 } });
  expect(still).toMatchObject({ reason: 'timeout', limits: { time: 'idle' } });
  expect(still.durationMs).toBeLessThan(400 * 2 + slack);
  const line = 'for i in 1 2 3 4 5 6; do sleep 0.2; i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; done; echo done';
  expect(await trySh(line, { limits: { idle: 1000 } })).toMatchObject({ reason: 'exited', stdout: 'done' });
});

testIf(hasCgroups, 'cgroups', 'wallTime ends a program with a very low cpu limit on time', async () => {
  const result = await trySh('for i in $(seq 30); do while :; do :; done & done; wait', { limits: { cpu: 0.01, wallTime: 500 } });
  expect(result).toMatchObject({ reason: 'timeout', limits: { time: 'wallTime' } });
  expect(result.durationMs).toBeLessThan(500 + slack);
});

test('the timeout of the call is reported as such, apart from time limits', async () => {
  expect(await trySh('sleep 100', { timeout: 200 })).toMatchObject({ reason: 'timeout', limits: { time: 'timeout' } });
  expect((await trySh('exit 137')).limits.time).toBeUndefined();
});
