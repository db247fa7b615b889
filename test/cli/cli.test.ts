import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnIsolated } from 'nsjs';
import { rejection, temporaryFolder } from '../support';

const main = join(__dirname, '../../dist/cli/main.js');
const nsjs = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });

test('run passes output and exit code on', () => {
  expect(nsjs('run', '--', '/bin/sh', '-c', 'echo out; echo err >&2; exit 3')).toMatchObject({
    status: 3,
    stdout: 'out\n',
    stderr: 'err\n',
  });
});

test('run takes mounts, limits, environment and working directory', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder.path, 'a'), 'content');
  const result = nsjs(
    'run',
    '--bind',
    `${folder.path}:/data`,
    '--env',
    'A=1',
    '--cwd',
    '/data',
    '--memory',
    '128M',
    '--pids',
    '8',
    '--',
    '/bin/sh',
    '-c',
    'cat a; echo $A',
  );
  folder.remove();
  expect(result).toMatchObject({ status: 0, stdout: 'content1\n' });
});

test('a program ended by a signal, by time, or not found ends as in a shell', () => {
  expect(nsjs('run', '--', '/bin/sh', '-c', 'kill -KILL $$').status).toBe(137);
  expect(nsjs('run', '--timeout', '100', '--', 'sleep', '10')).toMatchObject({ status: 143, stderr: expect.stringContaining('timeout') });
  expect(nsjs('run', '--', 'no-such-command')).toMatchObject({ status: 127, stderr: expect.stringContaining('ENOENT') });
});

test('the report names namespaces and limits', () => {
  const { stderr } = nsjs('run', '--report', '--', 'true');
  expect(JSON.parse(stderr).report).toMatchObject({ noNewPrivileges: true, shared: ['time'], limits: { pids: 64 } });
});

test('a wrong word is answered with what to do', () => {
  expect(nsjs('run')).toMatchObject({ status: 2, stderr: expect.stringContaining('nsjs run -- ls /') });
  expect(nsjs('frobnicate')).toMatchObject({ status: 2, stderr: expect.stringContaining('--help') });
  expect(nsjs('run', '--memory', 'lots', '--', 'true')).toMatchObject({ status: 2, stderr: expect.stringContaining('limits.memory') });
});

test('explain prints every operation', () => {
  expect(nsjs('explain', '--', 'ls').stdout).toMatch(/^inside\s+PivotRoot\s+\$60\s+# root$/m);
});

test('probe says what works', () => {
  const { status, stdout } = nsjs('probe', '--json');
  expect([status, JSON.parse(stdout).features.sandbox]).toEqual([0, { available: true }]);
});

test('the launcher can be a file; another file is refused', async () => {
  const folder = temporaryFolder();
  const launcherPath = join(folder.path, 'launcher');
  const { stdout } = spawnSync(process.execPath, [main, 'launcher']);
  writeFileSync(launcherPath, stdout, { mode: 0o755 });
  expect(await spawnIsolated('echo', ['x'], { launcherPath })).toMatchObject({ stdout: 'x' });
  chmodSync(launcherPath, 0o777);
  expect(await rejection(spawnIsolated('true', [], { launcherPath }))).toMatchObject({ code: 'ERR_NSJS_LAUNCHER' });
  chmodSync(launcherPath, 0o755);
  writeFileSync(launcherPath, Buffer.concat([stdout, Buffer.from('x')]));
  expect(await rejection(spawnIsolated('true', [], { launcherPath }))).toMatchObject({
    code: 'ERR_NSJS_LAUNCHER',
    hint: expect.stringContaining('nsjs launcher'),
  });
  expect(await rejection(spawnIsolated('true', [], { launcherPath: '/nonexistent' }))).toMatchObject({
    code: 'ENOENT',
    origin: 'launcherPath',
  });
  folder.remove();
});
