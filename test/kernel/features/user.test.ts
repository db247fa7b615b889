import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnIsolated } from 'nsjs';
import { isRoot, output, sh, temporaryDirectory, testIf, thrown } from '../../support';

test('the user namespace maps only the id of the program', async () => {
  const map = (await output('cat', ['/proc/self/uid_map'])).trim().split(/\s+/).map(Number);
  expect(map).toEqual([Number(await output('id', ['-u'])), 0, 1]);
});

test('the ids inside the sandbox can be chosen', async () => {
  expect(await sh('id -u; id -g; whoami', { user: { uid: 4321, gid: 1234 } })).toBe('4321\n1234\nsandbox');
});

test('setuid and setgroups to other ids fail', async () => {
  const script =
    'use POSIX; print POSIX::setuid(0) ? "done" : "refused", " ", POSIX::setgid(0) ? "done" : "refused"; $) = "0 0"; print " ", $! ? "refused" : "done"';
  expect(await output('perl', ['-e', script])).toBe('refused refused refused');
});

testIf(isRoot, 'root', 'on the host each program has an unprivileged id of its own', async () => {
  const running = [1, 2, 3].map(() => spawnIsolated('sleep', ['5']));
  await Promise.all(running.map((one) => one.spawned));
  const ids = running.map((one) => statSync(`/proc/${one.pid}`).uid);
  await Promise.all(running.map((one) => one.stop(0)));
  expect(new Set(ids).size).toBe(3);
  for (const id of ids) expect(id).toBeGreaterThanOrEqual(1_900_000_000);
});

testIf(!isRoot, 'an unprivileged user', 'on the host the program has the id of its caller', async () => {
  const running = spawnIsolated('sleep', ['5']);
  await running.spawned;
  expect(statSync(`/proc/${running.pid}`).uid).toBe(process.geteuid?.());
  await running.stop(0);
});

test('files that the program writes belong to the caller', async () => {
  const directory = temporaryDirectory();
  try {
    await sh('echo hello > /job/out', { mounts: [{ type: 'bind', source: directory.path, target: '/job', readonly: false }] });
    expect(statSync(join(directory.path, 'out')).uid).toBe(process.geteuid?.());
  } finally {
    directory.remove();
  }
});

test('a file that only the caller may read can be read through a bind', async () => {
  const directory = temporaryDirectory();
  try {
    const source = join(directory.path, 'secret');
    writeFileSync(source, 'for its owner', { mode: 0o600 });
    expect(await output('cat', ['/secret'], { mounts: [{ type: 'bind', source, target: '/secret' }] })).toBe('for its owner');
  } finally {
    directory.remove();
  }
});

test('an id out of range causes a RangeError', () => {
  expect(thrown(() => spawnIsolated('true', [], { user: { uid: -1 } }))).toMatchObject({
    name: 'OptionRangeError',
    code: 'ERR_OUT_OF_RANGE',
    path: 'user.uid',
  });
});
