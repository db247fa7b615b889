// Attacks whose success is visible only on the host.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Mount, spawnIsolated } from 'nsjs';
import { rejection, sh, temporaryDirectory, trySh } from '../../support';

let directory: ReturnType<typeof temporaryDirectory>;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => directory.remove());

// CVE-2026-41579, CVE-2026-47766, CVE-2019-16884, CVE-2023-27561: directories of the root are symbolic links out of it.
test.each(['dev', 'proc', 'tmp'] as const)('B07, B09: a mount on /%s of a root is refused if that is a link', async (name) => {
  const root = join(directory.path, 'root');
  const victim = join(directory.path, 'victim');
  for (const path of [root, victim, join(root, 'usr')]) mkdirSync(path);
  const mount = {
    dev: { type: 'dev', target: '/dev' },
    proc: { type: 'proc', target: '/proc' },
    tmp: { type: 'tmpfs', target: '/tmp' },
  } as const;
  for (const [index, target] of [victim, '../victim', '/', '/etc'].entries()) {
    execFileSync('rm', ['-f', join(root, name)]);
    symlinkSync(target, join(root, name));
    const mounts: Mount[] = [{ type: 'bind', source: '/usr' }, mount[name]];
    expect([index, await rejection(spawnIsolated('/usr/bin/true', [], { root, mounts }))]).toMatchObject([
      index,
      { code: 'ELOOP', origin: 'mounts[1]' },
    ]);
    expect(readdirSync(victim)).toEqual([]);
  }
});

test('B04: a mask does not use the /dev/null of the root', async () => {
  const root = join(directory.path, 'root');
  for (const name of ['usr', 'dev', 'data']) mkdirSync(join(root, name), { recursive: true });
  for (const name of ['lib', 'lib64', 'bin']) symlinkSync(`usr/${name}`, join(root, name));
  symlinkSync('/data/secret', join(root, 'dev/null'));
  writeFileSync(join(root, 'data/secret'), 'secret');
  const mounts = [
    { type: 'bind', source: '/usr' },
    { type: 'mask', target: '/data/secret' },
  ] as const;
  expect(await sh('cat /data/secret', { root, mounts })).toBe('');
});

test('B12: later mounts on the host are not visible inside', async () => {
  const script = `
    const { spawnIsolated } = require('nsjs');
    const { execFileSync } = require('node:child_process');
    (async () => {
      const running = spawnIsolated('/bin/sh', ['-c', 'read line; ls /data/sub'], { stdio: 'pipe', mounts: [{ type: 'bind', source: ${JSON.stringify(directory.path)}, target: '/data' }] });
      await running.spawned;
      execFileSync('mount', ['-t', 'tmpfs', 'none', ${JSON.stringify(join(directory.path, 'sub'))}]);
      execFileSync('touch', [${JSON.stringify(join(directory.path, 'sub/late'))}]);
      running.stdin.end('go\\n');
      console.log((await running).stdout);
    })()`;
  mkdirSync(join(directory.path, 'sub'));
  const setUp = `mount --bind ${directory.path} ${directory.path} && mount --make-rshared ${directory.path}`;
  const text = execFileSync('unshare', ['-Urm', '/bin/sh', '-c', `${setUp} && exec "$0" -e "$1"`, process.execPath, script], {
    cwd: __dirname,
    encoding: 'utf8',
  });
  expect(text).toBe('\n');
});

test('B14: read-only applies to mounts below the source', () => {
  const script = `
    require('nsjs').spawnIsolated('/bin/sh', ['-c', 'touch /data/sub/x; touch /data/x'], { reject: false, mounts: [{ type: 'bind', source: ${JSON.stringify(directory.path)}, target: '/data' }] })
      .then(({ stderr }) => console.log(stderr))`;
  mkdirSync(join(directory.path, 'sub'));
  const setUp = `mount -t tmpfs none ${directory.path}/sub`;
  const text = execFileSync('unshare', ['-Urm', '/bin/sh', '-c', `${setUp} && exec "$0" -e "$1"`, process.execPath, script], {
    cwd: __dirname,
    encoding: 'utf8',
  });
  expect(text.match(/Read-only file system/g)).toHaveLength(2);
});

test('C10: descriptors that are closed in the caller are /dev/null or pipes inside', async () => {
  const out = join(directory.path, 'out');
  const script = `require('nsjs').spawnIsolated('/bin/sh', ['-c', 'readlink /proc/self/fd/0; ls /proc/$$/fd']).then(({ stdout }) => require('fs').writeFileSync(${JSON.stringify(out)}, stdout))`;
  const child = spawn('/bin/sh', ['-c', 'exec "$0" -e "$1" <&- >&- 2>&-', process.execPath, script], { cwd: __dirname, stdio: 'ignore' });
  await new Promise((resolve) => child.once('exit', resolve));
  expect(readFileSync(out, 'utf8')).toBe('/dev/null\n0\n1\n2');
});

test('C17: init reaps orphaned processes', async () => {
  const script = 'i=0; while [ $i -lt 300 ]; do (setsid true &) ; i=$((i+1)); done; sleep 0.2; echo end';
  expect(await sh(script, { limits: { pids: 20 } })).toBe('end');
});

test('D28, C06: processes of the host cannot be signalled', async () => {
  const result = await trySh(`kill -0 ${process.pid}; echo $?; kill -0 ${process.ppid}; echo $?`);
  expect(result.stdout).toBe('1\n1');
});

test('G13: error messages inside contain no path of the host', async () => {
  const result = await trySh('/nonexistent; cat /data/x', { mounts: [{ type: 'bind', source: directory.path, target: '/data' }] });
  expect(result.stderr).not.toContain(directory.path);
});

test('B01: a program can neither access the launcher nor change it for the next sandbox', async () => {
  const result = await trySh(
    'for i in 1 2 3 4 5; do (echo x > /proc/$i/exe) 2>&1; readlink /proc/$i/exe; done; cat /proc/*/maps 2>/dev/null | grep -c memfd',
  );
  expect(result.stdout).not.toMatch(/memfd:nsjs/);
  expect(await sh('echo still works')).toBe('still works');
});
