// The common uses of namespaces, one by one.
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Sandbox, spawnIsolated } from 'nsjs';
import { isRoot, output, sh, temporaryDirectory } from '../../support';

test('pids: each sandbox counts from 1, and none sees the processes of another', async () => {
  const [one, two] = [await Sandbox.open(), await Sandbox.open()];
  const numbers = async (sandbox: Sandbox) =>
    (await sandbox.spawn('/bin/sh', ['-c', 'echo $$; cat /proc/1/comm 2>/dev/null; set -- /proc/[0-9]*; echo $#'])).stdout;
  expect(await numbers(one)).toBe(await numbers(two));
  const sleeper = one.spawn('sleep', ['100'], { reject: false });
  await sleeper.spawned;
  const inside = one.pids.inside(sleeper.pid ?? 0) ?? 0;
  expect(inside).toBeGreaterThan(1);
  expect((await two.spawn('/bin/sh', ['-c', `kill -0 ${inside} 2>/dev/null; kill -0 ${sleeper.pid} 2>/dev/null; echo $?`])).stdout).toBe(
    '1',
  );
  expect((await one.spawn('/bin/sh', ['-c', `kill -9 1; kill -0 ${inside}; echo $?`], { reject: false })).stdout).toBe('0');
  await one.close();
  await two.close();
});

test('network: each sandbox has its own interfaces, ports and routes', async () => {
  const serve =
    "const s = require('net').createServer((c) => c.end()); s.listen(8080, () => { console.log(Object.keys(require('os').networkInterfaces()).join()); })";
  const [one, two] = [
    spawnIsolated(process.execPath, ['-e', serve], { preset: 'node', reject: false }),
    spawnIsolated(process.execPath, ['-e', serve], { preset: 'node', reject: false }),
  ];
  const first = (running: typeof one) => new Promise((resolve) => running.stdout?.once('data', (data) => resolve(String(data))));
  expect(await Promise.all([first(one), first(two)])).toEqual(['lo\n', 'lo\n']);
  const reached = await new Promise((resolve) =>
    createConnection(8080, '127.0.0.1')
      .once('error', ({ code }: NodeJS.ErrnoException) => resolve(code))
      .once('connect', () => resolve('reached')),
  );
  expect(reached).toBe('ECONNREFUSED');
  await Promise.all([one.stop(0), two.stop(0)]);
  const script = "import socket\ntry:\n  socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError as error: print(error.errno)";
  expect(await output('python3', ['-c', script])).toBe('101');
});

test('mounts: volumes are shared, other mounts of a sandbox stay inside it', async () => {
  const directory = temporaryDirectory();
  const before = readFileSync('/proc/self/mountinfo', 'latin1');
  const volumes = [
    { type: 'bind', source: directory.path, target: '/volume', readonly: false },
    { type: 'tmpfs', target: '/scratch', size: '1M' },
  ] as const;
  const one = await Sandbox.open({ mounts: volumes });
  const two = await Sandbox.open({ mounts: volumes });
  await one.spawn('/bin/sh', ['-c', 'echo shared > /volume/file; echo own > /scratch/file']);
  expect((await two.spawn('/bin/sh', ['-c', 'cat /volume/file; ls /scratch'])).stdout).toBe('shared');
  expect(readFileSync(join(directory.path, 'file'), 'utf8')).toBe('shared\n');
  expect(readFileSync('/proc/self/mountinfo', 'latin1')).toBe(before);
  await one.close();
  await two.close();
  directory.remove();
});

test('uts: each sandbox has its own host and domain name', async () => {
  const before = hostname();
  const script = 'uname -n; cat /proc/sys/kernel/domainname';
  expect(await sh(script, { hostname: 'one', domainname: 'first', proc: 'full' })).toBe('one\nfirst');
  expect(await sh(script, { proc: 'full' })).toBe('sandbox\n(none)');
  expect(hostname()).toBe(before);
});

const systemV =
  'ipcmk -Q >/dev/null; ipcmk -M 100 >/dev/null; ipcmk -S 1 >/dev/null; for kind in q m s; do ipcs -$kind | grep -c 0x; done | tr "\\n" " "';
const posix = `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
name = b'/nsjs-test'
queue = libc.mq_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, None)
memory = libc.shm_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
libc.sem_open.restype = ctypes.c_void_p
semaphore = libc.sem_open(name, os.O_CREAT | os.O_EXCL, 0o600, 1)
print(queue >= 0, memory >= 0, bool(semaphore), sorted(os.listdir('/dev/shm')))`;

test('ipc: each sandbox has its own System V message queues, semaphores and shared memory', async () => {
  expect([await sh(systemV), await sh(systemV)]).toEqual(['1 1 1 ', '1 1 1 ']);
  expect(await sh('for kind in q m s; do ipcs -$kind | grep -c 0x; done | tr "\\n" " "')).toBe('0 0 0 ');
});

test('ipc: each sandbox has its own POSIX message queues, semaphores and shared memory', async () => {
  const expected = "True True True ['nsjs-test', 'sem.nsjs-test']";
  expect([await output('python3', ['-c', posix]), await output('python3', ['-c', posix])]).toEqual([expected, expected]);
});

test('user: root inside is an unprivileged user outside', async () => {
  const running = spawnIsolated('/bin/sh', ['-c', 'id -u; exec sleep 100'], { user: { uid: 0, gid: 0 }, reject: false });
  await Promise.all([running.spawned, new Promise((resolve) => running.stdout?.once('data', resolve))]);
  const [, uid] = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${running.pid}/status`, 'latin1')) ?? [];
  expect(Number(uid)).toBe(isRoot ? running.report?.hostId.uid : process.geteuid?.());
  expect(Number(uid)).not.toBe(0);
  expect((await running.stop(0))?.stdout).toBe('0');
  const files = 'touch /tmp/mine; stat -c %u /tmp/mine /usr; chown 5 /tmp/mine 2>/dev/null || echo one id';
  expect(await sh(files, { user: { uid: 0, gid: 0 } })).toBe('0\n65534\none id');
});
