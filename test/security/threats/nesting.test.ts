import { join } from 'node:path';
import { Sandbox, spawnIsolated } from 'nsjs';
import { temporaryDirectory, thrown } from '../../support';

test('A13: chroot with an open descriptor of the old root does not escape', async () => {
  const directory = temporaryDirectory();
  const breakOut = `
import os
fd = os.open('/', os.O_RDONLY)
os.mkdir('/tmp/jail')
os.chroot('/tmp/jail')
os.fchdir(fd)
for _ in range(50): os.chdir('..')
os.chroot('.')
print(os.path.exists(${JSON.stringify(directory.path)}), open('/etc/hostname').read().strip(), sorted(os.listdir('/'))[:3])`;
  const { stdout } = await spawnIsolated('python3', ['-c', breakOut], { preset: 'container', hostname: 'inside' });
  directory.remove();
  expect(stdout).toBe("False inside ['bin', 'dev', 'etc']");
});

const mountProc = `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*args): return (libc.mount(*args), ctypes.get_errno())
print(libc.unshare(0x10000000 | 0x20000 | 0x20000000))
if os.fork() == 0:
    print(call(b'proc', b'/tmp', b'proc', 0, None))
else: os.wait()`;

test('A17: masked files of /proc stay masked in a nested namespace', async () => {
  const options = { nestedUserNamespaces: true, seccomp: { allow: ['mount', 'unshare', 'setns'] } } as const;
  for (const proc of ['masked', 'pids'] as const) {
    const { stdout } = await spawnIsolated('python3', ['-uc', mountProc], { ...options, proc });
    expect([proc, stdout.split('\n').sort()]).toEqual([proc, ['(-1, 1)', '0']]);
  }
});

const library = join(__dirname, '../../..');

const nested = (level: number): string => `
  const { spawnIsolated } = require(${JSON.stringify(library)});
  const { readlinkSync } = require('node:fs');
  console.log(${level}, readlinkSync('/proc/self/ns/user'), readlinkSync('/proc/self/ns/net'));
  ${
    level === 0
      ? "spawnIsolated('/bin/sh', ['-c', 'unshare -U true; grep -h -E \"CapEff|NoNewPrivs|Seccomp:\" /proc/self/status'], { reject: false }).then(({ stdout }) => console.log(stdout));"
      : `spawnIsolated(process.execPath, ['-e', ${JSON.stringify(nested(level - 1))}], { preset: 'container', mounts: [{ type: 'bind', source: ${JSON.stringify(library)} }] }).then(({ stdout }) => console.log(stdout), (error) => console.log(error.message));`
  }`;

test('sandboxes can be nested three levels deep, each confined by the one around it', async () => {
  const { stdout } = await spawnIsolated(process.execPath, ['-e', nested(2)], {
    preset: 'container',
    mounts: [{ type: 'bind', source: library }],
  });
  const lines = stdout.split('\n');
  expect(lines.slice(0, 3).map((line) => line.split(' ')[0])).toEqual(['2', '1', '0']);
  expect(new Set(lines.slice(0, 3).map((line) => line.split(' ')[1])).size).toBe(3);
  expect(new Set(lines.slice(0, 3).map((line) => line.split(' ')[2])).size).toBe(3);
  expect(lines.slice(3)).toEqual(['CapEff:\t0000000000000000', 'NoNewPrivs:\t1', 'Seccomp:\t2']);
}, 60_000);

test('a sandbox that does not allow nesting refuses it with the cause', async () => {
  const script = `require(${JSON.stringify(library)}).spawnIsolated('true').catch((error) => console.log(error.code, error.syscall, error.hint))`;
  const { stdout } = await spawnIsolated(process.execPath, ['-e', script], { preset: 'node', mounts: [{ type: 'bind', source: library }] });
  expect(stdout).toMatch(/^ENOSYS clone3 .*seccomp/);
});

test('a preset that allows system calls that create set-id files refuses a writable bind mount', async () => {
  const directory = temporaryDirectory();
  const mounts = [{ type: 'bind', source: directory.path, target: '/data', readonly: false }] as const;
  expect(thrown(() => spawnIsolated('true', [], { preset: 'container', mounts }))).toMatchObject({ path: 'mounts[0].readonly' });
  expect(thrown(() => spawnIsolated('true', [], { seccomp: { allow: ['chmod'] }, mounts }))).toMatchObject({ path: 'mounts[0].readonly' });
  expect(thrown(() => Sandbox.open({ preset: 'container', mounts }))).toMatchObject({ path: 'mounts[0].readonly' });
  directory.remove();
});
