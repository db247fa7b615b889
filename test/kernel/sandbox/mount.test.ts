import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MountTree, Sandbox, spawnIsolated } from 'nsjs';
import { callNumber, isRoot, isSlow, rejection, temporaryDirectory, testIf, thrown } from '../../support';
import { mountCount, openDescriptors, ownLaunchers } from '../../support/processes';

const line = (sandbox: Sandbox, text: string) => sandbox.spawn('/bin/sh', ['-c', text], { reject: false });

test('a tmpfs with limits can be mounted in a running sandbox', async () => {
  const sandbox = await Sandbox.open();
  await sandbox.mount({ type: 'tmpfs', target: '/tmp/new', size: '1M' });
  expect(
    (await line(sandbox, 'echo hi > /tmp/new/f && cat /tmp/new/f; dd if=/dev/zero of=/tmp/new/big bs=1M count=2 2>&1 | grep -o "No space"'))
      .stdout,
  ).toBe('hi\nNo space');
  expect(await sandbox.fs.readFile('/tmp/new/f', { encoding: 'utf8' })).toBe('hi\n');
  expect(await rejection(sandbox.mount({ type: 'tmpfs', target: '/nowhere' }))).toMatchObject({ code: 'EROFS', origin: 'mount' });
  await sandbox.close();
  expect(await rejection(sandbox.mount({ type: 'tmpfs', target: '/tmp/x' }))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
});

testIf(isRoot, 'root', 'a host directory can be mounted, and the sandbox acts as its owner', async () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory.path, 'f'), 'host', { mode: 0o600 });
  const before = { mounts: mountCount(), descriptors: openDescriptors() };
  const sandbox = await Sandbox.open();
  await sandbox.mount({ type: 'bind', source: directory.path, target: '/tmp/ro' });
  await sandbox.mount({ type: 'bind', source: directory.path, target: '/tmp/rw', readonly: false });
  await sandbox.mount({ type: 'bind', source: join(directory.path, 'f'), target: '/tmp/file' });
  expect(
    (
      await line(
        sandbox,
        'cat /tmp/ro/f /tmp/file; echo > /tmp/ro/g; echo new > /tmp/rw/g; grep -c "/tmp/r[ow] .*nosuid,nodev" /proc/self/mountinfo',
      )
    ).stdout,
  ).toBe('hosthost2');
  expect(statSync(join(directory.path, 'g')).uid).toBe(0);
  await sandbox.close();
  directory.remove();
  expect(mountCount()).toBe(before.mounts);
});

testIf(isRoot, 'root', 'a MountTree can be mounted once, in a new or in a running sandbox', async () => {
  const directory = temporaryDirectory();
  mkdirSync(join(directory.path, 'd'));
  writeFileSync(join(directory.path, 'd/f'), 'tree');
  using one = MountTree.copy(directory.path);
  expect(one.kind).toBe('dir');
  expect((await spawnIsolated('cat', ['/t/d/f'], { mounts: [{ type: 'tree', tree: one, target: '/t' }], encoding: 'utf8' })).stdout).toBe(
    'tree',
  );
  expect(await rejection(spawnIsolated('true', [], { mounts: [{ type: 'tree', tree: one, target: '/t' }] }))).toMatchObject({
    origin: 'mounts[0]',
  });
  const sandbox = await Sandbox.open();
  using two = MountTree.copy(join(directory.path, 'd'), { readonly: false });
  const writable = MountTree.copy(join(directory.path, 'd'), { readonly: false });
  await using other = await Sandbox.open({ mounts: [{ type: 'tree', tree: writable, target: '/t' }] });
  expect((await line(other, 'cat /t/f; echo new > /t/new && cat /t/new')).stdout).toBe('treenew');
  await sandbox.mount({ type: 'tree', tree: two, target: '/tmp/t' });
  expect((await line(sandbox, 'echo more >> /tmp/t/f; cat /tmp/t/f')).stdout).toBe('treemore');
  await sandbox.close();
  directory.remove();
});

testIf(!isRoot, 'an unprivileged user', 'an unprivileged user cannot mount host directories, and the error suggests copyIn()', async () => {
  expect(thrown(() => MountTree.copy('/tmp'))).toMatchObject({ code: 'EPERM', syscall: 'open_tree' });
  const sandbox = await Sandbox.open();
  expect((await rejection(sandbox.mount({ type: 'bind', source: '/tmp', target: '/tmp/x' }))).message).toMatch(/only root .*copyIn/);
  await sandbox.close();
});

test('a target that is or becomes a symbolic link is not followed', async () => {
  const sandbox = await Sandbox.open();
  await line(sandbox, 'ln -s /usr /tmp/link; mkdir /tmp/race; mkdir /tmp/race/d; ln -s /usr /tmp/race/l');
  expect(await rejection(sandbox.mount({ type: 'tmpfs', target: '/tmp/link' }))).toMatchObject({ code: 'ELOOP' });
  const racer = sandbox.spawn(
    'perl',
    [
      '-e',
      `my ($a, $b) = ("/tmp/race/d\\0", "/tmp/race/l\\0"); $| = 1; print "r"; while (!-e "/tmp/stop") { syscall(${callNumber('renameat2')}, -100, $a, -100, $b, 2) for 1 .. 1000 }`,
    ],
    { reject: false },
  );
  await new Promise((resolve) => racer.stdout?.once('data', resolve));
  for (let round = 0; round < (isSlow ? 25 : 500); round++) {
    const error = await sandbox
      .mount({ type: 'tmpfs', target: '/tmp/race/d', size: 4096, inodes: 10 })
      .catch((reason: NodeJS.ErrnoException) => reason);
    if (error) expect(['ELOOP', 'EAGAIN', 'ENOENT', 'EEXIST', 'ENOTDIR']).toContain(error.code);
  }
  await line(sandbox, 'touch /tmp/stop');
  await racer;
  expect((await line(sandbox, 'ls /usr/bin | wc -l')).stdout).not.toBe('0');
  await sandbox.close();
}, 60_000);

test('mounting leaves no process and no descriptor behind', async () => {
  const before = openDescriptors();
  const sandbox = await Sandbox.open();
  const launchers = ownLaunchers().length;
  for (let round = 0; round < 5; round++) await sandbox.mount({ type: 'tmpfs', target: `/tmp/m${round}` });
  expect(ownLaunchers().length).toBe(launchers);
  await sandbox.close();
  for (let waited = 0; openDescriptors() > before && waited < 100; waited++) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(openDescriptors()).toBeLessThanOrEqual(before);
});
