import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Sandbox, spawnIsolated, systemdScope } from 'nsjs';
import { cgroups, rejection, sleep, temporaryDirectory, testIf } from '../../support';

const systemd = ['/lib/systemd/systemd', '/usr/lib/systemd/systemd'].find((path) => existsSync(path));

const isVersion2 = cgroups.version === 2;

// systemd requires that the machine was booted with it.
const isBooted = existsSync('/run/systemd/system');

testIf(
  isVersion2 && isBooted && systemd !== undefined,
  'systemd, and cgroups of version 2',
  'sandboxes run in a scope that systemd created',
  async () => {
    const runtime = temporaryDirectory();
    const group = join((cgroups.version === 2 && cgroups.parents.memory) || '', `nsjs-test-manager-${process.pid}`);
    mkdirSync(group);
    const env = { ...process.env, XDG_RUNTIME_DIR: runtime.path, DBUS_SESSION_BUS_ADDRESS: '', HOME: runtime.path };
    const line = `echo $$ > ${group}/cgroup.procs && exec ${systemd} --user --unit=basic.target`;
    const manager: ChildProcess = spawn('/bin/sh', ['-c', line], { env, stdio: ['ignore', 'inherit', 'inherit'] });
    const before = { ...process.env };
    try {
      for (let waited = 0; !existsSync(join(runtime.path, 'systemd/private')) && waited < 60_000; waited += 100) {
        if (manager.exitCode !== null) throw new Error(`systemd ended with ${manager.exitCode}`);
        await sleep(100);
      }
      Object.assign(process.env, { XDG_RUNTIME_DIR: runtime.path, DBUS_SESSION_BUS_ADDRESS: '' });
      await sleep(2000);
      const own = readFileSync('/proc/self/cgroup', 'latin1');
      const scope = await systemdScope({ manager: 'user' });
      expect(scope.parent.endsWith(`/${scope.unit}`)).toBe(true);
      const cgroup = { parent: scope.parent };
      const { report } = await spawnIsolated('true', [], { cgroup, limits: { memory: '64M' } });
      expect(report.cgroup?.directories[0]).toContain(`/${scope.unit}/nsjs-`);
      const eat = 'my @a; push @a, "x" x 1048576 for 1..100';
      expect(await spawnIsolated('perl', ['-e', eat], { cgroup, limits: { memory: '32M' }, reject: false })).toMatchObject({
        reason: 'oom',
      });
      const sandbox = await Sandbox.open({ cgroup, limits: { pids: 10 } });
      expect(sandbox.stats()).toMatchObject({ source: 'cgroup', pids: { limit: 11 } });
      await sandbox.close();
      expect(readFileSync('/proc/self/cgroup', 'latin1')).toBe(own);
      const directory = (report.cgroup?.directories[0] ?? '').replace(/\/nsjs-[^/]*$/, '');
      expect(existsSync(directory)).toBe(true);
      await scope.close();
      for (let waited = 0; existsSync(directory) && waited < 30_000; waited += 50) await sleep(50);
      expect(existsSync(directory)).toBe(false);
    } finally {
      for (const name of ['XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS']) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
      const ended = new Promise((resolve) => manager.once('exit', resolve));
      manager.kill('SIGTERM');
      if (manager.exitCode === null) await ended;
      spawnSync('find', [group, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']);
      if (existsSync(group)) rmdirSync(group);
      runtime.remove();
    }
  },
);

testIf(!isVersion2, 'cgroups of version 1', 'systemdScope() is refused on version 1', async () => {
  expect(await rejection(systemdScope())).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED', hint: expect.any(String) });
  expect(await rejection(systemdScope({ manager: 'nobody' as 'user' }))).toMatchObject({ path: 'manager' });
});

testIf(isVersion2, 'cgroups of version 2', 'systemdScope() fails with ERR_NSJS_DBUS if the bus rejects the connection', async () => {
  const runtime = temporaryDirectory();
  const server = createServer((socket) => socket.end('REJECTED\r\n')).listen(join(runtime.path, 'bus'));
  await new Promise((resolve) => server.once('listening', resolve));
  const before = process.env.DBUS_SESSION_BUS_ADDRESS;
  process.env.DBUS_SESSION_BUS_ADDRESS = `unix:path=${runtime.path}/bus`;
  const { XDG_RUNTIME_DIR } = process.env;
  process.env.XDG_RUNTIME_DIR = runtime.path;
  expect(await rejection(systemdScope({ manager: 'user' }))).toMatchObject({ code: 'ERR_NSJS_DBUS' });
  if (before === undefined) delete process.env.DBUS_SESSION_BUS_ADDRESS;
  else process.env.DBUS_SESSION_BUS_ADDRESS = before;
  if (XDG_RUNTIME_DIR === undefined) delete process.env.XDG_RUNTIME_DIR;
  else process.env.XDG_RUNTIME_DIR = XDG_RUNTIME_DIR;
  server.close();
  runtime.remove();
});
