import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Sandbox, spawnIsolated } from 'nsjs';
import { printable } from '../../../dist/cli/print';
import { topTable } from '../../../dist/cli/top';
import { rejection, temporaryDirectory } from '../../support';

const main = join(__dirname, '../../../dist/cli/main.js');
const nsjs = (...args: string[]) => spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });

test.each([
  [['run', '--bind-rw', './x:/w', '--', 'true'], /--bind-rw: .*absolute.*'\.\/x'.*try \/.*\/x/],
  [['run', '--bind', 'x', '--', 'true'], /--bind: .*absolute/],
  [['probe', '--foo'], /--foo/],
  [['probe', 'more'], /more/],
  [['launcher', '--foo'], /--foo/],
])('%j is refused, and the error names the argument', (words, message) => {
  const { status, stdout, stderr } = nsjs(...words);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toMatch(message);
});

test('run passes on the output and the exit code of the program', () => {
  expect(nsjs('run', '--', '/bin/sh', '-c', 'echo out; echo err >&2; exit 3')).toMatchObject({
    status: 3,
    stdout: 'out\n',
    stderr: 'err\n',
  });
});

test('run takes mounts, limits, environment and working directory', () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory.path, 'a'), 'content');
  const result = nsjs(
    'run',
    '--bind',
    `${directory.path}:/data`,
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
  directory.remove();
  expect(result).toMatchObject({ status: 0, stdout: 'content1\n' });
});

test('exit codes follow the shell after a signal, a timeout and a missing command', () => {
  expect(nsjs('run', '--', '/bin/sh', '-c', 'kill -KILL $$').status).toBe(137);
  expect(nsjs('run', '--timeout', '100', '--', 'sleep', '10')).toMatchObject({ status: 143, stderr: expect.stringContaining('timeout') });
  expect(nsjs('run', '--', 'no-such-command')).toMatchObject({ status: 127, stderr: expect.stringContaining('ENOENT') });
});

test('the report lists namespaces and limits', () => {
  const { stderr } = nsjs('run', '--report', '--', 'true');
  expect(JSON.parse(stderr).report).toMatchObject({ noNewPrivileges: true, shared: ['time'], limits: { pids: 64 } });
});

test('an error about wrong arguments shows how to correct them', () => {
  expect(nsjs('run')).toMatchObject({ status: 2, stderr: expect.stringContaining('nsjs run -- ls /') });
  expect(nsjs('frobnicate')).toMatchObject({ status: 2, stderr: expect.stringContaining('--help') });
  expect(nsjs('run', '--memory', 'lots', '--', 'true')).toMatchObject({ status: 2, stderr: expect.stringContaining('limits.memory') });
});

test('explain prints every operation', () => {
  expect(nsjs('explain', '--', 'ls').stdout).toMatch(/^inside\s+(EnterRoot|PivotRoot\s+\$60)\s+# root$/m);
});

test('probe reports the available features', () => {
  const { status, stdout } = nsjs('probe', '--json');
  expect([status, JSON.parse(stdout).features.sandbox]).toEqual([0, { available: true }]);
});

test('the launcher can be a file; one that is modified, writable by others or missing is refused', async () => {
  const directory = temporaryDirectory();
  const launcherPath = join(directory.path, 'launcher');
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
  directory.remove();
});

test('stats and top list the sandboxes of this machine, as a table or as JSON', async () => {
  await using sandbox = await Sandbox.open({ limits: { memory: '100M', pids: 20 } });
  const run = sandbox.spawn('sleep', ['100'], { reject: false });
  await run.spawned;
  const ours = ({ stdout }: { readonly stdout: string }) =>
    stdout.split('\n').filter((line) => line.includes(`${process.pid}`) && line.includes('sleep 100'));
  const [line = ''] = ours(nsjs('stats'));
  expect(line).toMatch(/\b2(\/21)?\b.*sleep 100$/);
  const [json = ''] = ours(nsjs('stats', '--json'));
  expect(JSON.parse(json)).toMatchObject({
    owner: process.pid,
    command: 'sleep 100',
    pids: { current: 2 },
    cpu: { usageMs: expect.any(Number) },
  });
  expect(ours(nsjs('top', '--count', '2', '--interval', '100')).length).toBe(2);
  expect(nsjs('stats', '--interval', '1')).toMatchObject({ status: 2, stderr: expect.stringContaining('--interval') });
  run.kill('SIGKILL');
  await run;
});

test('top uses the alternate screen of the terminal, redraws it, and restores the terminal on q', async () => {
  const checkout = join(__dirname, '../../..');
  await using sandbox = await Sandbox.open({ preset: 'node', terminal: true, mounts: [{ type: 'bind', source: checkout }] });
  const run = sandbox.spawn(process.execPath, [main, 'top', '--interval', '100'], { stdio: 'pty', reject: false });
  let text = '';
  run.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    if ((text.match(/OWNER/g) ?? []).length === 2) run.stdin?.write('q');
  });
  expect(await run).toMatchObject({ exitCode: 0 });
  expect(text.startsWith('\x1b[?1049h')).toBe(true);
  expect(text).toContain('q quits');
  expect(text.lastIndexOf('\x1b[?1049l')).toBeGreaterThan(text.lastIndexOf('q quits'));
});

test('control characters in the name of a program do not reach the terminal', () => {
  const sandbox = { id: 'nsjs-1', launcher: 1, init: 2, owner: 3, uid: 0, openedAt: 0, command: 'a\x1b[2Jb\nc\x9b1m' };
  const delta = {
    ms: 1000,
    cpu: 0.5,
    throttledMs: 0,
    memory: 0,
    oomKills: 0,
    pidsRefused: 0,
    ioRead: 2048,
    ioWrite: 0,
    received: 0,
    sent: 0,
  };
  const stats = {
    time: 5000,
    source: 'cgroup',
    cpu: { usageMs: 1 },
    memory: { usage: 2 ** 20, limit: 2 ** 21 },
    pids: { current: 2, limit: 5 },
  } as const;
  const lines = topTable(
    [{ sandbox, sample: { ...stats, io: { read: 1, write: 1, readOperations: 0, writeOperations: 0 }, delta } }],
    2,
  ).split('\n');
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatch(
    /^nsjs-1\s+3\s+5s\s+50\.0% \[## {6}\] 1\.0M\s+2\.0M \[#{4} {4}\]\s+2\/5\s+2\.0K\s+0B\s+-\s+- a\\u001b\[2Jb\\u000ac\\u009b1m$/,
  );
});

describe('text that a program controls', () => {
  // ESC and CSI, line breaks, OSC 8, a bell, a right-to-left override, a zero-width space, a lone surrogate.
  const hostile = 'a\x1b[2J\x9b1m\nnsjs: ok\r\x1b]8;;x\x07\u202e\u200b\ud800z';
  const harmful = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]|\n./;

  test('is written as \\uXXXX, except for harmless characters', () => {
    expect(printable(hostile)).toBe('a\\u001b[2J\\u009b1m\\u000ansjs: ok\\u000d\\u001b]8;;x\\u0007\\u202e\\u200b\\ud800z');
    expect(printable('Ä 日本 🎉 e\u0301 ~')).toBe('Ä 日本 🎉 e\u0301 ~');
  });

  test('is written without control characters in messages', () => {
    const { stderr, status } = nsjs('run', '--', hostile.replace('/', ''));
    expect(status).toBe(127);
    expect(stderr).toContain('\\u001b[2J');
    expect(stderr.trimEnd()).not.toMatch(harmful);
    expect(nsjs(hostile).stderr.trimEnd()).not.toMatch(harmful);
  });

  test('is written without control characters in tables and JSON', async () => {
    // Sets the name of the process in the kernel; the arguments contain the hostile text as well.
    const line = `printf 'a\\033[2J\\n\\tb' > /proc/self/comm 2>/dev/null; read x`;
    await using sandbox = await Sandbox.open({ preset: 'container', hostname: 'inside' });
    const running = sandbox.spawn('/bin/sh', ['-c', line, hostile.replace('\ud800', '')], { stdio: ['pipe', 'pipe', 'pipe'] });
    await running.spawned;
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (const words of [
      ['ls'],
      ['ls', '--json'],
      ['top', '--count', '1', '--interval', '10'],
      ['stats', '--json'],
      ['net'],
      ['net', '--json'],
    ]) {
      const { stdout } = nsjs(...words);
      expect(stdout).not.toBe('');
      expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]/);
    }
    running.stdin?.end('\n');
    await running;
  });
});
