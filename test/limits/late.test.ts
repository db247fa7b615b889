// Ends that are read late, because this process did something else meanwhile: what ended in time was not stopped.
import { type Result, Sandbox, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { hasCgroups, isSlow, testIf } from '../support';

const sleeper = new Int32Array(new SharedArrayBuffer(4));
const unit = isSlow ? 1000 : 100;
/** This thread does nothing else for so long. */
const block = (units: number) => Atomics.wait(sleeper, 0, 0, units * unit);
const rests = (units: number) => ['-c', `sleep ${(units * unit) / 1000}`] as const;
const eat = 'exec perl -e \'my @a; push @a, "x" x 1048576 for 1..200\'';

test.each([
  ['the timeout', { timeout: 10 * unit }],
  ['the wall clock', { limits: { wallTime: 10 * unit } }],
  ['idle time', { limits: { idle: 10 * unit } }],
])('%s of a run', async (_, options) => {
  const handle = spawnIsolated('/bin/sh', rests(3), { reject: false, ...options });
  await handle.spawned;
  block(20);
  expect(await handle).toMatchObject({ reason: 'exited', exitCode: 0 });
});

test.each([
  ['the timeout', { timeout: 10 * unit }],
  ['the wall clock', { limits: { wallTime: 10 * unit } }],
  ['the CPU time', { limits: { cpuTime: 10 * unit } }],
])('%s of one of many', async (_, options) => {
  await using sandbox = await Sandbox.open();
  const handle = sandbox.spawn('/bin/sh', rests(3), { reject: false, ...options });
  await handle.spawned;
  block(20);
  expect(await handle).toMatchObject({ reason: 'exited', exitCode: 0 });
});

test('in the blocking form', () => {
  // Stops this very process while its program goes on, and lets it run again.
  const script = `kill -STOP ${process.pid}; sleep ${(20 * unit) / 1000}; kill -CONT ${process.pid}`;
  const { spawn } = jest.requireActual<typeof import('node:child_process')>('node:child_process');
  const other = spawn('/bin/sh', ['-c', `sleep 0.1; ${script}`], { stdio: 'ignore' });
  const result = spawnIsolatedSync('/bin/sh', rests(5), { reject: false, timeout: 12 * unit });
  expect(result).toMatchObject({ reason: 'exited', exitCode: 0 });
  other.kill('SIGKILL');
});

testIf(hasCgroups, 'control groups', 'two that ran out of memory are both told so', async () => {
  await using sandbox = await Sandbox.open({ limits: { memory: '64M' } });
  const both = [1, 2].map(() => sandbox.spawn('/bin/sh', ['-c', eat], { reject: false }));
  const third = sandbox.spawn('/bin/sh', ['-c', 'kill -TERM $$'], { reject: false });
  await Promise.all(both.map(({ spawned }) => spawned));
  block(20);
  const ends = (await Promise.all(both)) as readonly Result[];
  expect(ends.map(({ reason, limits }) => [reason, limits.oomKills])).toEqual([
    ['oom', 1],
    ['oom', 1],
  ]);
  expect(await third).toMatchObject({ reason: 'signaled', limits: { oomKills: 0 } });
});
