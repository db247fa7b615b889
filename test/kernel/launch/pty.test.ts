import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type IsolatedProcess, Sandbox, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { callNumber, rejection, sleep, thrown } from '../../support';
import { keepersGone, openDescriptors } from '../../support/processes';
import { eventually } from '../../support/until';

const onTerminal = (script: string, options = {}) =>
  spawnIsolated('/bin/sh', ['-c', script], { stdio: 'pty', reject: false, encoding: 'utf8', ...options });

/** Waits until the output of the terminal matches the pattern, and returns the output. */
async function shown(running: IsolatedProcess<string | Buffer>, pattern: RegExp): Promise<string> {
  let text = '';
  running.stdout?.on('data', (chunk) => {
    text += chunk;
  });
  for (let tries = 0; tries < 500 && !pattern.test(text); tries++) await sleep(10);
  expect(text).toMatch(pattern);
  return text;
}

test('stdin, stdout and stderr are one new terminal of the requested size', async () => {
  const { stdout, stderr } = await onTerminal('tty; stty size; echo $TERM; echo err >&2; ls /dev/pts | tr "\\n" " "', {
    tty: { columns: 100, rows: 30 },
  });
  expect(stdout.split('\r\n')).toEqual(['/dev/pts/0', '30 100', 'xterm-256color', 'err', '0 ptmx ']);
  expect(stderr).toBe('');
});

test('stdin and stdout are one stream that exists immediately and keeps early input', async () => {
  const running = onTerminal('read line; echo "got $line"; stty size');
  expect(running.stdin).toBe(running.stdout);
  expect(running.stderr).toBeNull();
  running.stdin?.write('early\n');
  expect((await running).stdout).toBe('early\r\ngot early\r\n24 80');
});

test('the end of the input reaches the program as EOF', async () => {
  expect((await onTerminal('stty -echo; cat', { input: 'typed\n' })).stdout).toContain('typed');
});

test('EOF reaches the program even if the input ends in the middle of a line', async () => {
  expect((await onTerminal('stty -echo; cat', { input: 'no newline' })).stdout).toContain('no newline');
});

test('a program that does not read its input does not block this process', async () => {
  const running = onTerminal('sleep 100', { input: 'x'.repeat(1_000_000), timeout: 300, killGrace: 100 });
  let ticks = 0;
  const timer = setInterval(() => ticks++, 10);
  expect(await running).toMatchObject({ reason: 'timeout' });
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(5);
});

test('resize: the program gets SIGWINCH and the new size', async () => {
  const running = onTerminal('trap "stty size; exit 0" WINCH; echo ready; while :; do sleep 0.05; done');
  await shown(running, /ready/);
  running.resize(50, 10);
  expect((await running).stdout).toBe('ready\r\n10 50');
  expect(thrown(() => running.resize(-1, 10))).toMatchObject({ path: 'columns' });
});

test('job control: Ctrl-Z stops a program, fg continues it, and Ctrl-C ends it', async () => {
  const running = spawnIsolated('/bin/bash', ['--norc', '--noprofile', '-i'], { stdio: 'pty', reject: false, env: { PS1: '> ' } });
  const type = (text: string) => running.stdin?.write(text);
  await shown(running, /> $/);
  type('sleep 100\n');
  await shown(running, /sleep 100/);
  await sleep(200);
  type('\x1a');
  await shown(running, /Stopped/);
  type('fg\n');
  await sleep(200);
  type('\x03');
  await shown(running, /\^C/);
  type('exit 3\n');
  expect(await running).toMatchObject({ exitCode: 3, reason: 'exited' });
});

test('programs can open more terminals, and none of them belongs to the host', async () => {
  const { stdout } = await onTerminal('script -qc "tty" /dev/null');
  expect(stdout).toMatch(/\/dev\/pts\/1/);
  const sandbox = await Sandbox.open({ terminal: true });
  expect((await sandbox.spawn('/bin/sh', ['-c', 'tty'], { stdio: 'pty' })).stdout).toBe('/dev/pts/0');
  const two = [
    sandbox.spawn('/bin/sh', ['-c', 'tty; sleep 0.3'], { stdio: 'pty' }),
    sandbox.spawn('/bin/sh', ['-c', 'tty; sleep 0.3'], { stdio: 'pty' }),
  ];
  expect((await Promise.all(two)).map(({ stdout: name }) => name).sort()).toEqual(['/dev/pts/0', '/dev/pts/1']);
  await sandbox.close();
});

test('G01, G02: ioctl cannot inject input into a terminal, even with upper bits in the request', async () => {
  // Makes the raw system call: the request is a 64-bit register, of which the kernel reads 32 bits.
  const script = `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for request in (0x5412, 0x5412 | 1 << 32, 0x541c, 0x541d, 0x5423):
    result = libc.syscall(${callNumber('ioctl')}, 0, ctypes.c_ulong(request), b'x')
    print(result, ctypes.get_errno())`;
  const { stdout } = await spawnIsolated('python3', ['-c', script], { stdio: 'pty', reject: false, encoding: 'utf8' });
  expect(stdout.split('\r\n')).toEqual(Array(5).fill('-1 1'));
});

test('G04: the program cannot reach the terminal of the caller', () => {
  const program = `require('nsjs').spawnIsolated('/bin/sh', ['-c', 'tty; : < /dev/tty && echo reached'], { reject: false }).then(({ stdout, stderr }) => console.log(stdout, stderr))`;
  const text = execFileSync('script', ['-qc', `${process.execPath} -e ${JSON.stringify(program)}`, '/dev/null'], {
    cwd: __dirname,
    encoding: 'utf8',
    input: 'secret\n',
  });
  expect(text).toContain('not a tty');
  expect(text).not.toContain('reached');
});

test('invalid uses of a terminal are refused', async () => {
  expect(thrown(() => spawnIsolated('true', [], { tty: { columns: 5 } }))).toMatchObject({ path: 'tty' });
  expect(thrown(() => onTerminal('true', { tty: { columns: -1 } }))).toMatchObject({ path: 'tty.columns' });
  expect(thrown(() => onTerminal('true', { newSession: false }))).toMatchObject({ path: 'newSession' });
  expect(thrown(() => spawnIsolatedSync('true', [], { stdio: 'pty' }))).toMatchObject({ path: 'stdio' });
  expect(thrown(() => spawnIsolated('true').resize(1, 1))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
  const sandbox = await Sandbox.open();
  expect(thrown(() => sandbox.spawn('true', [], { stdio: 'pty' }))).toMatchObject({ path: 'stdio' });
  await sandbox.close();
  expect(await rejection(onTerminal('true', { root: 'empty' }))).toMatchObject({
    code: 'ENOENT',
    origin: 'stdio',
    hint: expect.stringContaining('/dev/pts'),
  });
});

test('terminals leave no descriptors open', async () => {
  await onTerminal('true');
  await keepersGone();
  await sleep(100);
  const before = openDescriptors();
  for (let round = 0; round < 20; round++) await onTerminal(round % 2 ? 'exit 1' : 'sleep 100 & exit 0');
  for (let round = 0; round < 5; round++) await onTerminal('sleep 100', { timeout: 20, killGrace: 10 });
  await keepersGone();
  await eventually(() => expect(openDescriptors()).toBeLessThanOrEqual(before));
});

test('the example runs a shell and ends with its exit code', () => {
  const command = `${process.execPath} ${join(__dirname, '../../../dist-examples/shell.js')}; echo "code $?"`;
  const text = execFileSync('script', ['-qc', command, '/dev/null'], { encoding: 'utf8', input: 'echo $((6 * 7)); uname -n; exit 4\n' });
  expect(text).toMatch(/42[\s\S]*box[\s\S]*code 4/);
});
