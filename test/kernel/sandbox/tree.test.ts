// Descendants of a program in a long-lived sandbox after the program has been ended.
import { Sandbox } from 'nsjs';
import { hasCgroups, rejection, testIf } from '../../support';

/** Starts a child and an orphan. Each keeps appending lines to a file. */
const line = `(while :; do echo >> /tmp/child; sleep 0.02; done) &
  setsid sh -c '(while :; do echo >> /tmp/orphan; sleep 0.02; done) & exit' ; sleep 0.1; echo ready; `;

/** Returns which of the two still write to their file, checked up to `tries` times every 0.1 s. */
async function living(sandbox: Sandbox, tries: number): Promise<readonly string[]> {
  const look = `for f in child orphan; do a=$(cat /tmp/$f 2>/dev/null | wc -l); n=0
    while [ $n -lt ${tries} ]; do sleep 0.1; n=$((n+1)); [ "$(cat /tmp/$f 2>/dev/null | wc -l)" -gt "$a" ] && echo $f && break; done; done`;
  return (await sandbox.spawn('/bin/sh', ['-c', look], { reject: false })).stdout.split('\n').filter(Boolean);
}

// A short check is enough for processes that must be gone: they are gone immediately or not at all.
const shortly = 3;
const patiently = 100;

const ways: Readonly<Record<string, (sandbox: Sandbox) => Promise<unknown>>> = {
  timeout: (sandbox) => sandbox.spawn('/bin/sh', ['-c', `${line} sleep 100`], { timeout: 500, killGrace: 100, reject: false }),
  'timeout, and it ends by itself then': (sandbox) =>
    sandbox.spawn('/bin/sh', ['-c', `trap 'exit 0' TERM; ${line} while :; do sleep 0.05; done`], { timeout: 500, reject: false }),
  'limits.wallTime': (sandbox) => sandbox.spawn('/bin/sh', ['-c', `${line} sleep 100`], { limits: { wallTime: 1500 }, reject: false }),
  abort: async (sandbox) => {
    const controller = new AbortController();
    const running = sandbox.spawn('/bin/sh', ['-c', `${line} sleep 100`], { signal: controller.signal, killGrace: 0 });
    await new Promise((resolve) => running.stdout?.once('data', resolve));
    controller.abort();
    await rejection(running);
  },
  SIGKILL: async (sandbox) => {
    const running = sandbox.spawn('/bin/sh', ['-c', `${line} sleep 100`], { killTree: true, reject: false });
    await new Promise((resolve) => running.stdout?.once('data', resolve));
    running.kill('SIGKILL');
    await running;
  },
};

test('when a program is ended, all its descendants end too, orphans included', async () => {
  for (const [name, end] of Object.entries(ways)) {
    await using sandbox = await Sandbox.open();
    await end(sandbox);
    expect([name, await living(sandbox, shortly)]).toEqual([name, []]);
  }
}, 30_000);

testIf(!hasCgroups, 'a user without cgroups', 'processes are found by descent, and the report lists killTree as dropped', async () => {
  await using sandbox = await Sandbox.open();
  const { report } = await sandbox.spawn('true', [], { timeout: 5000 });
  expect(report.dropped.map(({ control }) => control)).toContain('killTree');
});

test('orphans that exit at the same time do not affect the result of the program', async () => {
  await using sandbox = await Sandbox.open();
  const ends = [
    ['(sleep 0.2 &) ; (exit 9 &) ; sleep 0.1; exit 5', { exitCode: 5, signal: null }],
    ['kill -SEGV $$', { exitCode: null, signal: 'SIGSEGV' }],
    ['kill -STOP $PPID; kill -KILL $PPID; exit 3', { exitCode: 3, signal: null }],
  ] as const;
  for (const [line, end] of ends)
    expect(await sandbox.spawn('/bin/sh', ['-c', line], { timeout: 20_000, reject: false, stdio: 'ignore' })).toMatchObject(end);
  expect((await sandbox.spawn('ps', ['ax', '-o', 'stat='])).stdout).not.toMatch(/^[ZT]/m);
}, 30_000);

test('descendants go on if the program exits by itself or killTree is false', async () => {
  await using sandbox = await Sandbox.open();
  await sandbox.spawn('/bin/sh', ['-c', `${line} exit 0`], { timeout: 5000, stdio: 'ignore' });
  expect(await living(sandbox, patiently)).toEqual(['child', 'orphan']);
  await using other = await Sandbox.open();
  await other.spawn('/bin/sh', ['-c', `${line} sleep 100`], {
    timeout: 500,
    killGrace: 0,
    killTree: false,
    reject: false,
    stdio: 'ignore',
  });
  expect(await living(other, patiently)).toEqual(['child', 'orphan']);
}, 30_000);
