import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnIsolated } from 'nsjs';
import { output, rejection, sh, temporaryDirectory, trySh } from '../../support';

test('the root is read-only and contains only the expected directories', async () => {
  expect((await sh('ls /')).split('\n').filter((name) => !/^(bin|sbin|lib\w*|opt)$/.test(name))).toEqual([
    'dev',
    'etc',
    'home',
    'proc',
    'tmp',
    'usr',
    'var',
  ]);
  expect((await trySh('touch /x')).stderr).toContain('Read-only file system');
  expect((await trySh('touch /etc/x')).stderr).toContain('Read-only file system');
  expect((await trySh('touch /usr/x')).stderr).toContain('Read-only file system');
});

test('no mount of the old root remains', async () => {
  const targets = (await sh('cut -d" " -f5 /proc/self/mountinfo')).split('\n');
  expect(targets.filter((target) => /^\/(sys|run|boot|mnt|srv|root|old)/.test(target))).toEqual([]);
});

test('the temporary directory and the home directory are writable and limited in size', async () => {
  expect(await sh('echo a > /tmp/a; echo b > ~/b; cat /tmp/a ~/b')).toBe('a\nb');
  const full = await trySh('head -c 2M /dev/zero > /tmp/big', { scratch: { size: '1M' } });
  expect(full.stderr).toContain('No space left on device');
  const many = await trySh('for i in $(seq 50); do : > /tmp/$i || exit 1; done', { scratch: { inodes: 10 } });
  expect(many.stderr).toContain('No space left on device');
});

test('/dev contains only harmless devices', async () => {
  expect((await sh('ls /dev')).split('\n')).toEqual([
    'fd',
    'full',
    'null',
    'random',
    'shm',
    'stderr',
    'stdin',
    'stdout',
    'tty',
    'urandom',
    'zero',
  ]);
  expect(await sh('echo x > /dev/null; head -c 4 /dev/zero | wc -c; echo to stdout > /dev/stdout')).toBe('4\nto stdout');
});

test('an empty root contains only the mounts of the caller', async () => {
  const mounts = [
    { type: 'bind', source: '/usr' },
    { type: 'symlink', target: '/lib64', to: 'usr/lib64' },
    { type: 'symlink', target: '/lib', to: 'usr/lib' },
  ] as const;
  expect(await output('/usr/bin/ls', ['/'], { root: 'empty', mounts })).toBe('lib\nlib64\nusr');
});

test('a directory can be the root and is read-only', async () => {
  const directory = temporaryDirectory();
  try {
    for (const name of ['usr', 'proc', 'dev', 'tmp', 'data']) mkdirSync(join(directory.path, name));
    writeFileSync(join(directory.path, 'data/file'), 'content');
    const mounts = [
      { type: 'bind', source: '/usr' },
      { type: 'proc', target: '/proc' },
      { type: 'dev', target: '/dev' },
      { type: 'tmpfs', target: '/tmp' },
    ] as const;
    for (const name of ['lib', 'lib64', 'bin']) symlinkSync(`usr/${name}`, join(directory.path, name));
    const run = (line: string) => trySh(line, { root: directory.path, mounts });
    expect((await run('cat /data/file; echo; echo ok > /tmp/x; cat /tmp/x')).stdout).toBe('content\nok');
    expect((await run('echo x > /data/new')).stderr).toContain('Read-only file system');
    expect(readdirSync(join(directory.path, 'data'))).toEqual(['file']);
  } finally {
    directory.remove();
  }
});

test('the host’s root can be kept', async () => {
  expect(await sh('test -e /etc/os-release && echo here', { root: 'host' })).toBe('here');
});

test('a missing root directory causes a system error that names the option', async () => {
  expect(await rejection(spawnIsolated('true', [], { root: '/nonexistent/root' }))).toMatchObject({
    name: 'SysError',
    code: 'ENOENT',
    origin: 'root',
  });
});
