import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Mount, type SpawnOptions, spawnIsolated } from 'nsjs';
import { rejection, sh, temporaryDirectory, thrown, trySh } from '../../support';

let directory: ReturnType<typeof temporaryDirectory>;

beforeEach(() => {
  directory = temporaryDirectory();
  writeFileSync(join(directory.path, 'file'), 'content');
});
afterEach(() => directory.remove());

const bind = (options: Partial<Extract<Mount, { type: 'bind' }>> = {}): SpawnOptions => ({
  mounts: [{ type: 'bind', source: directory.path, target: '/data', ...options }],
});

test('a bind is read-only by default', async () => {
  expect(await sh('cat /data/file', bind())).toBe('content');
  expect((await trySh('echo x > /data/file', bind())).stderr).toContain('Read-only file system');
  expect(readFileSync(join(directory.path, 'file'), 'utf8')).toBe('content');
});

test('writes to a writable bind reach the host', async () => {
  await sh('echo -n changed > /data/file', bind({ readonly: false }));
  expect(readFileSync(join(directory.path, 'file'), 'utf8')).toBe('changed');
});

test('binds are mounted with nosuid and nodev', async () => {
  expect(await sh("grep ' /data ' /proc/self/mountinfo", bind({ readonly: false }))).toMatch(/ rw,nosuid,nodev/);
});

test('the program cannot leave a set-id file on the host', async () => {
  const script = [
    'cp /usr/bin/true /data/t && chmod 4755 /data/t; chmod 2755 /data/t; chmod u+s /data/t',
    'perl -e \'use Fcntl; sysopen(F, "/data/o", O_CREAT|O_WRONLY, 04755); mkdir "/data/d", 06755; require "syscall.ph" if 0; syscall(133, "/data/m", 0104755, 0) if $ARGV[0] eq "x64"\' ' +
      process.arch,
  ].join('\n');
  await trySh(script, bind({ readonly: false }));
  for (const name of ['t', 'o', 'm']) {
    const path = join(directory.path, name);
    if (existsSync(path)) expect(lstatSync(path).mode & 0o6000).toBe(0);
  }
  expect(lstatSync(join(directory.path, 't')).isFile()).toBe(true);
});

test('a source below a directory that other users cannot enter can be bound', async () => {
  const closed = join(directory.path, 'closed');
  mkdirSync(join(closed, 'open'), { recursive: true });
  writeFileSync(join(closed, 'open/file'), 'deep');
  expect(await sh('cat /data/file', bind({ source: join(closed, 'open') }))).toBe('deep');
});

test('the size and the mode of a tmpfs are applied', async () => {
  const mounts = [{ type: 'tmpfs', target: '/scratch', size: '1M', inodes: 20, mode: 0o700 }] as const;
  expect(await sh("stat -c '%a' /scratch", { mounts })).toBe('700');
  expect((await trySh('head -c 3M /dev/zero > /scratch/x', { mounts })).stderr).toContain('No space left');
});

test('mounts of type file, symlink and dir create their targets', async () => {
  const mounts = [
    { type: 'file', target: '/etc/app/config.json', data: '{"a":1}', mode: 0o444 },
    { type: 'symlink', target: '/link', to: '/etc/app/config.json' },
    { type: 'dir', target: '/empty/dir' },
  ] as const;
  expect(await sh('cat /link; ls -A /empty/dir; stat -c %a /etc/app/config.json', { mounts })).toBe('{"a":1}444');
});

test('a file mount can replace a file in a read-only bind', async () => {
  const mounts = [...(bind().mounts ?? []), { type: 'file', target: '/data/file', data: 'replaced' }] as const;
  expect(await sh('cat /data/file', { mounts })).toBe('replaced');
  expect(readFileSync(join(directory.path, 'file'), 'utf8')).toBe('content');
});

test('a file mount can replace a file of the system, however often and for all roots', async () => {
  const { stdout: release } = await spawnIsolated('readlink', ['-f', '/usr/lib/os-release']);
  const mounts = [{ type: 'file', target: release, data: 'replaced' }] as const;
  // From the second run on, a root could be shared with other sandboxes.
  for (let count = 0; count < 4; count++) expect(await sh(`cat ${release}; ls -A /.. | grep -c usr`, { mounts })).toBe('replaced1');
  // The host's root is kept, and nothing is left on top of it.
  expect(await sh(`cat ${release}; cd /..; ls -d usr`, { root: 'host', mounts })).toBe('replacedusr');
});

test('mounts below the temporary directory work', async () => {
  const mounts = [
    { type: 'bind', source: directory.path, target: '/tmp/deep/data' },
    { type: 'file', target: '/tmp/deep/file', data: 'fixed' },
  ] as const;
  expect(
    await sh(
      'cat /tmp/deep/data/file /tmp/deep/file; (echo x > /tmp/deep/file) 2>&1 | grep -o Read-only; rm -f /tmp/deep/file 2>&1 | grep -o busy',
      { mounts },
    ),
  ).toBe('contentfixedRead-only\nbusy');
});

test('a mask hides a file and a directory', async () => {
  mkdirSync(join(directory.path, 'dir'));
  writeFileSync(join(directory.path, 'dir/secret'), 'secret');
  const mounts = [...(bind().mounts ?? []), { type: 'mask', target: '/data/file' }, { type: 'mask', target: '/data/dir' }] as const;
  expect(await sh('cat /data/file; ls -A /data/dir; touch /data/dir/x 2>&1 | grep -o Read-only', { mounts })).toBe('Read-only');
});

test('an error about a missing source contains the origin, the code, the errno and a hint', async () => {
  const error = await rejection(spawnIsolated('true', [], bind({ source: '/nonexistent' })));
  expect(error).toMatchObject({ name: 'SysError', code: 'ENOENT', errno: -2, origin: 'mounts[0]', path: '/nonexistent' });
  expect(error.hint).toMatch(/does not exist|must exist/);
});

test('a target that leads out of the root through a link is refused', async () => {
  symlinkSync('/etc', join(directory.path, 'link'));
  const mounts = [...(bind().mounts ?? []), { type: 'tmpfs', target: '/data/link/x' }] as const;
  const error = await rejection(spawnIsolated('true', [], { mounts }));
  expect(error).toMatchObject({ name: 'SysError', code: 'ELOOP', syscall: 'openat2', origin: 'mounts[1]' });
  expect(error.hint).toMatch(/symbolic link/);
});

test.each([
  [{ type: 'bind', source: 'relative', target: '/x' }, 'mounts[0].source'],
  [{ type: 'bind', source: '/tmp', target: 'relative' }, 'mounts[0].target'],
  [{ type: 'bind', source: '/tmp', target: '/a/../b' }, 'mounts[0].target'],
  [{ type: 'bind', source: '/tmp', target: '/' }, 'mounts[0].target'],
  [{ type: 'bind', source: '/tmp\0x', target: '/x' }, 'mounts[0].source'],
  [{ type: 'bind', source: '/tmp', target: '/x', write: true }, 'mounts[0].write'],
  [{ type: 'tmpfs', target: '/x', size: '12Q' }, 'mounts[0].size'],
  [{ type: 'tmpfs', target: '/x', size: 0 }, 'mounts[0].size'],
  [{ type: 'tmpfs', target: '/x', mode: 0o4755 }, 'mounts[0].mode'],
  [{ type: 'overlay', target: '/x' }, 'mounts[0].lower'],
  [{ type: 'aufs', target: '/x' }, 'mounts[0].type'],
  [{ type: 'file', target: '/x' }, 'mounts[0].data'],
])('%j is refused at %s', (mount, path) => {
  expect(thrown(() => spawnIsolated('true', [], { mounts: [mount as Mount] }))).toMatchObject({ path });
});
