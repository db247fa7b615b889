import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Sandbox, unpackImage, unpackTar } from 'nsjs';
import { callNumber, rejection, sh, temporaryDirectory } from '../../support';

let directory: ReturnType<typeof temporaryDirectory>;

beforeEach(() => {
  directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
});

afterEach(() => directory.remove());

describe('copies', () => {
  test('copyIn of a missing source removes nothing at the target', async () => {
    const sandbox = await Sandbox.open();
    await sandbox.fs.mkdir('/home/sandbox/data');
    expect((await rejection(sandbox.fs.copyIn('/nonexistent', '/home/sandbox/data'))).code).toMatch(/ENOENT|EEXIST/);
    expect((await sandbox.fs.stat('/home/sandbox/data')).isDirectory()).toBe(true);
    await sandbox.close();
  });

  test('copyIn from a directory that programs change never follows a link', async () => {
    const secret = join(directory.path, 'secret');
    const shared = join(directory.path, 'shared');
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    writeFileSync(secret, 'secret', { mode: 0o600 });
    writeFileSync(join(shared, 'f'), 'own');
    symlinkSync(secret, join(shared, 'l'));
    const racer = spawn('perl', [
      '-e',
      `my ($a, $b) = ("${shared}/f\\0", "${shared}/l\\0"); $| = 1; print "r"; syscall(${callNumber('renameat2')}, -100, $a, -100, $b, 2) while 1`,
    ]);
    await new Promise((resolve) => racer.stdout.once('data', resolve));
    const sandbox = await Sandbox.open();
    for (let round = 0; round < 500; round++) {
      await sandbox.fs.copyIn(join(shared, 'f'), `/tmp/f${round}`).catch(() => {});
      const stats = await sandbox.fs.stat(`/tmp/f${round}`).catch(() => undefined);
      if (stats?.isFile()) expect(await sandbox.fs.readFile(`/tmp/f${round}`, { encoding: 'utf8' })).toBe('own');
    }
    await sandbox.close();
    racer.kill('SIGKILL');
  }, 60_000);

  test('copyOut to a directory that programs change writes nothing outside of it', async () => {
    const [shared, victim] = [join(directory.path, 'shared'), join(directory.path, 'victim')];
    for (const path of [shared, victim]) mkdirSync(path);
    chmodSync(shared, 0o777);
    const sandbox = await Sandbox.open();
    await sandbox.spawn('/bin/sh', ['-c', 'mkdir /tmp/src; cd /tmp/src; for i in $(seq 50); do echo x > f$i; done']);
    const racer = spawn('perl', [
      '-e',
      `chdir "${shared}"; $| = 1; print "r"; while (1) { for (glob(".nsjs-*")) { rename($_, "taken$$"); symlink("${victim}", $_) } }`,
    ]);
    await new Promise((resolve) => racer.stdout.once('data', resolve));
    for (let round = 0; round < 100; round++) await sandbox.fs.copyOut('/tmp/src', join(shared, `out${round}`)).catch(() => {});
    racer.kill('SIGKILL');
    await sandbox.close();
    expect(readdirSync(victim)).toEqual([]);
  }, 60_000);

  test('commit and exportTar enforce maxSize, and diff refuses names that are not UTF-8', async () => {
    const sandbox = await Sandbox.open({ mounts: [{ type: 'overlay', target: '/o', lower: '/etc/ssl', size: '4M' }] });
    await sandbox.spawn('/bin/sh', ['-c', 'truncate -s 3G /o/sparse; echo x > /o/a; ln /o/a /o/b']);
    const changes = sandbox.overlay('/o');
    expect(await rejection(changes.commit(join(directory.path, 'commit'), { maxSize: '1M' }))).toMatchObject({ code: 'EFBIG' });
    expect(existsSync(join(directory.path, 'commit'))).toBe(false);
    expect(
      await rejection(
        (async () => {
          for await (const _ of changes.exportTar({ maxSize: '1M' }));
        })(),
      ),
    ).toMatchObject({ code: 'EFBIG' });
    await sandbox.fs.rm('/o/sparse');
    await changes.commit(join(directory.path, 'commit'));
    expect(statSync(join(directory.path, 'commit/b')).nlink).toBe(2);
    await sandbox.spawn('perl', ['-e', 'open F, ">", "/o/\\xff"']);
    expect(await rejection(changes.diff())).toMatchObject({ code: 'EILSEQ' });
    await sandbox.close();
  });
});

test('archives that never deliver data are errors', async () => {
  const ended = Readable.from([]);
  ended.destroy();
  expect(await rejection(unpackTar(ended, join(directory.path, 'a')))).toMatchObject({ code: 'ERR_NSJS_ARCHIVE' });
  const silent = new Readable({ read: () => {} });
  expect(await rejection(unpackTar(silent, join(directory.path, 'b'), { signal: AbortSignal.timeout(50) }))).toMatchObject({
    code: 'ABORT_ERR',
  });
  mkdirSync(join(directory.path, 'layout'));
  execFileSync('mkfifo', [join(directory.path, 'layout/index.json')]);
  expect(await rejection(unpackImage(join(directory.path, 'layout'), join(directory.path, 'c')))).toMatchObject({
    code: 'ERR_NSJS_ARCHIVE',
  });
  expect(readdirSync(directory.path).sort()).toEqual(['layout']);
  expect(await sh('echo still works')).toBe('still works');
});
