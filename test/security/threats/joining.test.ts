import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Namespace, Sandbox, spawnIsolated } from 'nsjs';
import { PlanWriter } from '../../../dist/plan/writer';
import { isRoot, rejection, testIf } from '../../support';

// Inspects all other processes in an endless loop, except those that it knows, as in CVE-2016-9962: a process that is
// entering the sandbox would show descriptors of the host, or could be traced. Programs that have started show only
// their own three descriptors.
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

test('C05: a program that joins a running sandbox exposes nothing of the host', async () => {
  expect(await spyOn(500)).toBe('ready\nTrue []');
}, 120_000);

// As root, init changes its ids, which hides it in any case.
testIf(!isRoot, 'an unprivileged user', 'C05: control: if init is dumpable, the same program sees the launcher', async () => {
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

test('C05: a neighbour can kill a joining program, which is an error and never leaves it half confined', async () => {
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

// The owner has every capability over processes in the namespace, and could inspect the helper that creates the inner
// one.
testIf(isRoot, 'root', 'root starts nothing in a user namespace that a user owns, nor in one below it', async () => {
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
