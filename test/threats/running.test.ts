// Attacks on what stays and on what is nested: programs that join a running sandbox, chroot, a sandbox in a sandbox.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Namespace, Sandbox, spawnIsolated } from 'nsjs';
import { PlanWriter } from '../../dist/plan/writer';
import { isRoot, rejection, temporaryFolder, testIf, thrown } from '../support';

// Looks without end at every process but itself and what it knows, as CVE-2016-9962 did: a process that is on its way into the sandbox
// would show descriptors of the host, or let itself be traced. Programs that have started show their own three.
const spy = `
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
end = time.time() + 60
found = set()
looked = 0
print('ready', flush=True)
while time.time() < end and not os.path.exists('/tmp/stop'):
    for name in os.listdir('/proc'):
        if not name.isdigit() or int(name) in (1, os.getpid()): continue
        looked += 1
        try:
            for fd in os.listdir('/proc/' + name + '/fd'):
                path = os.readlink('/proc/' + name + '/fd/' + fd)
                if int(fd) > 2 and not path.startswith(('/usr/', '/etc/', '/proc/')): found.add('descriptor ' + path.split(':')[0])
            exe = os.readlink('/proc/' + name + '/exe')
            if 'memfd' in exe: found.add('launcher ' + exe)
        except OSError: pass
        try:
            with open('/proc/' + name + '/environ', 'rb') as file:
                if b'SECRET' in file.read(): found.add('environment')
        except OSError: pass
        try:
            with open('/proc/' + name + '/maps') as file:
                if 'memfd' in file.read(): found.add('memory map of the launcher')
        except OSError: pass
print(looked > 1000, sorted(found))
`;

const spyOn = async (rounds: number): Promise<string> => {
  const sandbox = await Sandbox.open({ limits: { pids: 100 } });
  const watching = sandbox.spawn('python3', ['-c', spy], { reject: false, encoding: 'utf8' });
  await new Promise((resolve) => watching.stdout?.once('data', resolve));
  for (let round = 0; round < rounds; round++) await sandbox.spawn('true');
  await sandbox.spawn('touch', ['/tmp/stop']);
  const { stdout } = await watching;
  await sandbox.close();
  return stdout;
};

test('C05: a program that joins a running sandbox shows nothing of where it comes from', async () => {
  expect(await spyOn(500)).toBe('ready\nTrue []');
}, 120_000);

// Run by root init changes its ids, which hides it anyway.
testIf(!isRoot, 'an unprivileged user', 'C05: the control: with init dumpable, the same program sees the launcher', async () => {
  const { op } = PlanWriter.prototype;
  PlanWriter.prototype.op = function (section, origin, name, ...args) {
    if (name !== 'Dumpable') op.call(this, section, origin, name, ...args);
  };
  try {
    expect(await spyOn(500)).toMatch(/launcher|memory map|descriptor/);
  } finally {
    PlanWriter.prototype.op = op;
  }
});

test('C05: it can be signalled by its neighbours, and that is an error, never a program half confined', async () => {
  const sandbox = await Sandbox.open({ limits: { pids: 100 } });
  const killer =
    'while [ ! -e /tmp/stop ]; do for p in /proc/[0-9]*; do n=$(echo $p | cut -c7-); [ $n -gt 1 ] && [ $n -ne $$ ] && kill -9 $n; done; done 2>/dev/null';
  const killing = sandbox.spawn('/bin/sh', ['-c', killer], { reject: false });
  await killing.spawned;
  const outcomes = new Set<string>();
  for (let round = 0; round < 200; round++) {
    const one = await sandbox
      .spawn('/bin/sh', ['-c', 'grep -c "Seccomp:.*2" /proc/self/status'], { reject: false, encoding: 'utf8' })
      .catch((error) => error);
    outcomes.add(one.code ?? (one.signal === null ? one.stdout : one.signal));
  }
  killing.kill('SIGKILL');
  await killing;
  for (const outcome of outcomes) expect(['1', '', 'SIGKILL', 'ERR_NSJS_LAUNCHER']).toContain(outcome);
  await sandbox.close();
}, 120_000);

// Its owner has every capability over what enters it, and could look into the helper that makes the inner one.
testIf(isRoot, 'root', 'root starts nothing in a user namespace that a user owns, nor below one', async () => {
  const inside = 'unshare -r -U /bin/sh -c "echo \\$\\$; exec sleep 100" & echo $$; exec sleep 100';
  const owner = spawn('setpriv', ['--reuid=54321', '--regid=54321', '--clear-groups', 'unshare', '-r', '-U', '/bin/sh', '-c', inside], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const pids: number[] = [];
  try {
    while (pids.length < 2) pids.push(...`${(await once(owner.stdout, 'data'))[0]}`.trim().split('\n').map(Number));
    for (const pid of pids) {
      using user = Namespace.open(pid, 'user');
      const refused = { code: 'ERR_NSJS_UNSUPPORTED', hint: expect.stringContaining('run as that user') };
      expect(await rejection(Sandbox.open({ namespaces: { user } }))).toMatchObject(refused);
      expect(await rejection(spawnIsolated('true', [], { namespaces: { user } }))).toMatchObject(refused);
    }
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    owner.kill('SIGKILL');
  }
});

test('A13: chroot with a descriptor of the old root in hand leads nowhere', async () => {
  const folder = temporaryFolder();
  const breakOut = `
import os
fd = os.open('/', os.O_RDONLY)
os.mkdir('/tmp/jail')
os.chroot('/tmp/jail')
os.fchdir(fd)
for _ in range(50): os.chdir('..')
os.chroot('.')
print(os.path.exists(${JSON.stringify(folder.path)}), open('/etc/hostname').read().strip(), sorted(os.listdir('/'))[:3])`;
  const { stdout } = await spawnIsolated('python3', ['-c', breakOut], { preset: 'container', hostname: 'inside' });
  folder.remove();
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

test('A17: what is masked in /proc stays masked in a nested namespace', async () => {
  const options = { nestedUserNamespaces: true, seccomp: { allow: ['mount', 'unshare', 'setns'] } } as const;
  for (const proc of ['masked', 'pids'] as const) {
    const { stdout } = await spawnIsolated('python3', ['-uc', mountProc], { ...options, proc });
    expect([proc, stdout.split('\n').sort()]).toEqual([proc, ['(-1, 1)', '0']]);
  }
});

const library = join(__dirname, '../..');
const nested = (level: number): string => `
  const { spawnIsolated } = require(${JSON.stringify(library)});
  const { readlinkSync } = require('node:fs');
  console.log(${level}, readlinkSync('/proc/self/ns/user'), readlinkSync('/proc/self/ns/net'));
  ${
    level === 0
      ? "spawnIsolated('/bin/sh', ['-c', 'unshare -U true; grep -h -E \"CapEff|NoNewPrivs|Seccomp:\" /proc/self/status'], { reject: false }).then(({ stdout }) => console.log(stdout));"
      : `spawnIsolated(process.execPath, ['-e', ${JSON.stringify(nested(level - 1))}], { preset: 'container', mounts: [{ type: 'bind', source: ${JSON.stringify(library)} }] }).then(({ stdout }) => console.log(stdout), (error) => console.log(error.message));`
  }`;

test('sandboxes in sandboxes, three levels deep, each confined by the one around', async () => {
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

test('in a sandbox that is not for it, nesting is refused with the cause', async () => {
  const script = `require(${JSON.stringify(library)}).spawnIsolated('true').catch((error) => console.log(error.code, error.syscall, error.hint))`;
  const { stdout } = await spawnIsolated(process.execPath, ['-e', script], { preset: 'node', mounts: [{ type: 'bind', source: library }] });
  expect(stdout).toMatch(/^ENOSYS clone3 .*seccomp/);
});

test('a preset that allows calls that make set-id files takes no writable bind', async () => {
  const folder = temporaryFolder();
  const mounts = [{ type: 'bind', source: folder.path, target: '/data', readonly: false }] as const;
  expect(thrown(() => spawnIsolated('true', [], { preset: 'container', mounts }))).toMatchObject({ path: 'mounts[0].readonly' });
  expect(thrown(() => spawnIsolated('true', [], { seccomp: { allow: ['chmod'] }, mounts }))).toMatchObject({ path: 'mounts[0].readonly' });
  expect(thrown(() => Sandbox.open({ preset: 'container', mounts }))).toMatchObject({ path: 'mounts[0].readonly' });
  folder.remove();
});
