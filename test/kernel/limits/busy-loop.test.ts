// Exit notifications that are read late because the event loop was blocked: a program that ended in time is not
// reported as stopped by a time limit.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Result, Sandbox, spawnIsolated } from 'nsjs';
import { block, hasCgroups, isSlow, sleep, testIf } from '../../support';

const unit = isSlow ? 300 : 100;
const rests = (units: number) => ['-c', `sleep ${(units * unit) / 1000}`] as const;
const eat = 'exec perl -e \'my @a; push @a, "x" x 1048576 for 1..200\'';

test.each([
  ['the timeout', { timeout: 15 * unit }],
  ['the wall clock', { limits: { wallTime: 15 * unit } }],
])('a blocked event loop does not trigger %s of a one-shot run that ended in time', async (_, options) => {
  const handle = spawnIsolated('/bin/sh', rests(2), { reject: false, ...options });
  await handle.spawned;
  block(25 * unit);
  expect(await handle).toMatchObject({ reason: 'exited', exitCode: 0 });
});

test.each([
  ['the timeout', { timeout: 15 * unit }],
  ['the wall clock', { limits: { wallTime: 15 * unit } }],
])('a blocked event loop does not trigger %s of a program in a sandbox that ended in time', async (_, options) => {
  await using sandbox = await Sandbox.open();
  const handle = sandbox.spawn('/bin/sh', rests(2), { reject: false, ...options });
  await handle.spawned;
  block(25 * unit);
  expect(await handle).toMatchObject({ reason: 'exited', exitCode: 0 });
});

test('spawnIsolatedSync does not report a timeout if this process was stopped and the program ended in time', async () => {
  const code = `
    const { spawnIsolatedSync } = require(${JSON.stringify(require.resolve('nsjs'))});
    process.stdout.write('go');
    const { reason } = spawnIsolatedSync('/bin/sh', ${JSON.stringify(rests(6))}, { reject: false, timeout: ${30 * unit} });
    process.stdout.write(reason);`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [first] = await once(child.stdout, 'data');
  expect(`${first}`).toBe('go');
  await sleep(2 * unit);
  child.kill('SIGSTOP');
  await sleep(40 * unit);
  child.kill('SIGCONT');
  const [reason] = await once(child.stdout, 'data');
  expect(`${reason}`).toBe('exited');
  await once(child, 'exit');
});

testIf(hasCgroups, 'cgroups', 'two programs that run out of memory are both reported as oom', async () => {
  await using sandbox = await Sandbox.open({ limits: { memory: '64M' } });
  const both = [1, 2].map(() => sandbox.spawn('/bin/sh', ['-c', eat], { reject: false }));
  const third = sandbox.spawn('/bin/sh', ['-c', 'kill -TERM $$'], { reject: false });
  await Promise.all(both.map(({ spawned }) => spawned));
  block(25 * unit);
  const ends = (await Promise.all(both)) as readonly Result[];
  expect(ends.map(({ reason, limits }) => [reason, limits.oomKills])).toEqual([
    ['oom', 1],
    ['oom', 1],
  ]);
  expect(await third).toMatchObject({ reason: 'signaled', limits: { oomKills: 0 } });
});

testIf(hasCgroups, 'cgroups', 'three programs that run out of memory together report oom, one that kills itself does not', async () => {
  for (let round = 0; round < (isSlow ? 1 : 10); round++) {
    await using sandbox = await Sandbox.open({ limits: { memory: '64M' } });
    const three = [1, 2, 3].map(() => sandbox.spawn('/bin/sh', ['-c', eat], { reject: false }));
    expect((await Promise.all(three)).map(({ reason }) => reason)).toEqual(['oom', 'oom', 'oom']);
    const itself = await sandbox.spawn('/bin/sh', ['-c', 'kill -KILL $$'], { reject: false });
    expect(itself).toMatchObject({ reason: 'signaled', limits: { oomKills: 0 } });
  }
});
