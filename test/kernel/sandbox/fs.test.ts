import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Sandbox, type SandboxOptions } from 'nsjs';
import { callNumber, isRoot, rejection, temporaryDirectory, testIf } from '../../support';
import { openDescriptors } from '../../support/processes';
import { eventually } from '../../support/until';

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await Sandbox.open();
});
afterAll(() => sandbox.close());

const line = (text: string, on = sandbox) => on.spawn('/bin/sh', ['-c', text], { reject: false });
const code = async (promise: PromiseLike<unknown>) => (await rejection(promise)).code;

test('fs writes and reads files, which belong to the user of the sandbox', async () => {
  await sandbox.fs.mkdir('/tmp/a/b', { recursive: true });
  await sandbox.fs.writeFile('/tmp/a/b/f', 'hello', { mode: 0o600 });
  expect((await line('cat /tmp/a/b/f; stat -c "%a %u" /tmp/a/b/f; echo more >> /tmp/a/b/f')).stdout).toMatch(
    /^hello600 1000$|^hello600 54321$/,
  );
  expect(await sandbox.fs.readFile('/tmp/a/b/f', { encoding: 'utf8' })).toBe('hellomore\n');
  expect(Buffer.isBuffer(await sandbox.fs.readFile('/tmp/a/b/f'))).toBe(true);
  await sandbox.fs.writeFile('/tmp/a/b/f', 'x');
  expect((await sandbox.fs.stat('/tmp/a/b/f')).size).toBe(1);
  await sandbox.fs.mkdir('/tmp/a/b', { recursive: true });
  expect(await code(sandbox.fs.mkdir('/tmp/a/b'))).toBe('EEXIST');
});

test('readdir() lists entries with name and type', async () => {
  await line('mkdir /tmp/list; cd /tmp/list; touch f; mkdir d; ln -s /etc/passwd l; mkfifo p');
  const found = [...(await sandbox.fs.readdir('/tmp/list'))].sort((a, b) => (a.name < b.name ? -1 : 1));
  expect(found).toEqual([
    { name: 'd', type: 'directory' },
    { name: 'f', type: 'file' },
    { name: 'l', type: 'symlink' },
    { name: 'p', type: 'fifo' },
  ]);
});

test('symbolic links are not followed, neither at the end of a path nor within it', async () => {
  await line('ln -s /etc/passwd /tmp/evil; ln -s / /tmp/root; ln -s ../../../../etc /tmp/up; ln -s /proc/self/root /tmp/magic');
  for (const path of ['/tmp/evil', '/tmp/root/etc/passwd', '/tmp/up/passwd', '/tmp/magic/etc/passwd']) {
    expect(await code(sandbox.fs.readFile(path))).toBe('ELOOP');
    expect(await code(sandbox.fs.writeFile(path, 'x'))).toBe('ELOOP');
  }
  expect((await sandbox.fs.stat('/tmp/evil')).isSymbolicLink()).toBe(true);
  expect(await code(sandbox.fs.readFile('/tmp/../etc/passwd'))).toBe('ERR_INVALID_ARG_VALUE');
  expect(await code(sandbox.fs.mkdir('/tmp/root/tmp/made'))).toMatch(/ELOOP|ENOTDIR/);
  expect(await code(sandbox.fs.rm('/tmp/up/passwd'))).toMatch(/ELOOP|ENOTDIR/);
});

test('FIFOs, devices and files that are too large are refused without blocking', async () => {
  await line('mkfifo /tmp/fifo; truncate -s 1T /tmp/sparse 2>/dev/null || truncate -s 60M /tmp/sparse; mkdir /tmp/dir');
  for (const path of ['/tmp/fifo', '/dev/zero', '/dev/null', '/tmp/dir']) {
    expect(await code(sandbox.fs.readFile(path))).toMatch(/EINVAL|EISDIR/);
    expect(await code(sandbox.fs.writeFile(path, 'x'))).toMatch(/EINVAL|EISDIR|ENXIO/);
  }
  expect(await code(sandbox.fs.readFile('/tmp/sparse', { maxSize: '1M' }))).toBe('EFBIG');
  const directory = temporaryDirectory();
  expect(await code(sandbox.fs.copyOut('/tmp/fifo', join(directory.path, 'x')))).toBe('EINVAL');
  expect(await code(sandbox.fs.copyOut('/tmp/sparse', join(directory.path, 'x'), { maxSize: '1M' }))).toBe('EFBIG');
  expect(execFileSync('ls', ['-A', directory.path], { encoding: 'utf8' })).toBe('');
  directory.remove();
});

test('read-only directories and the root cannot be changed', async () => {
  expect(await code(sandbox.fs.writeFile('/usr/bin/evil', 'x'))).toBe('EROFS');
  expect(await code(sandbox.fs.rm('/usr', { recursive: true }))).toMatch(/EBUSY|EROFS|EACCES/);
  expect(await code(sandbox.fs.rm('/'))).toBe('EINVAL');
});

test('rm() removes trees of any depth and with any names', async () => {
  await line(
    `cd /tmp && perl -e 'for (1 .. 3000) { mkdir "d" or die; chdir "d" or die } open F, ">", "end"; chdir "/tmp/d"; mkdir "x"; open F, ">", "x/\\xff\\xfe"'`,
  );
  await sandbox.fs.rm('/tmp/d', { recursive: true });
  expect((await line('ls -d /tmp/d')).exitCode).not.toBe(0);
  expect(await code(sandbox.fs.rm('/tmp/nothing'))).toBe('ENOENT');
  await sandbox.fs.rm('/tmp/nothing', { force: true });
  await sandbox.fs.mkdir('/tmp/full/x', { recursive: true });
  expect(await code(sandbox.fs.rm('/tmp/full'))).toBe('ENOTEMPTY');
});

test('copyIn() and copyOut() copy trees, and refuse links, existing targets and trees that are too large', async () => {
  const directory = temporaryDirectory();
  const from = join(directory.path, 'in');
  mkdirSync(join(from, 'sub'), { recursive: true });
  writeFileSync(join(from, 'sub/run.sh'), '#!/bin/sh\necho ran', { mode: 0o755 });
  symlinkSync('sub/run.sh', join(from, 'link'));
  await sandbox.fs.copyIn(from, '/tmp/job');
  expect((await line('/tmp/job/link; readlink /tmp/job/link')).stdout).toBe('ran\nsub/run.sh');
  expect(await code(sandbox.fs.copyIn(from, '/tmp/job'))).toBe('EEXIST');
  expect((await line('ls /tmp/job/sub')).stdout).toBe('run.sh');

  // A link in the tree is refused, and the part that was already copied is removed.
  expect(await code(sandbox.fs.copyOut('/tmp/job', join(directory.path, 'out')))).toBe('ELOOP');
  expect(existsSync(join(directory.path, 'out'))).toBe(false);
  await line('rm /tmp/job/link; chmod 4755 /tmp/job/sub/run.sh; echo data > /tmp/job/data');
  await sandbox.fs.copyOut('/tmp/job', join(directory.path, 'out'));
  expect(readFileSync(join(directory.path, 'out/data'), 'utf8')).toBe('data\n');
  expect(statSync(join(directory.path, 'out/sub/run.sh')).mode & 0o7777).toBe(0o755);
  expect(await code(sandbox.fs.copyOut('/tmp/job/data', join(directory.path, 'out')))).toBe('EEXIST');
  expect(await code(sandbox.fs.copyOut('/tmp/job', join(directory.path, 'o2'), { maxEntries: 2 }))).toBe('EFBIG');
  expect(execFileSync('ls', ['-A', directory.path], { encoding: 'utf8' })).toBe('in\nout\n');
  directory.remove();
});

test('watch() reports a new file', async () => {
  const abort = new AbortController();
  await sandbox.fs.mkdir('/tmp/watched');
  const seen: string[] = [];
  const watching = (async () => {
    for await (const { filename } of sandbox.fs.watch('/tmp/watched', { signal: abort.signal })) {
      seen.push(`${filename}`);
      abort.abort();
    }
  })();
  while (seen.length === 0) await line('touch /tmp/watched/new');
  await watching;
  expect(seen[0]).toBe('new');
});

test('a path that changes during the calls does not lead out of the sandbox', async () => {
  // The program keeps exchanging the directory and a link to /etc, where the host has secrets.
  const program = `
use strict; my ($a, $b) = ("/tmp/race/dir\\0", "/tmp/race/link\\0");
mkdir "/tmp/race"; mkdir "/tmp/race/dir"; open my $f, ">", "/tmp/race/dir/passwd"; print $f "inside"; close $f; symlink "/etc", "/tmp/race/link";
$| = 1; print "ready\\n"; my $end = time + 60;
while (time < $end) { for (1 .. 1000) { syscall(${callNumber('renameat2')}, -100, $a, -100, $b, 2) } last if -e "/tmp/stop" }`;
  const racer = sandbox.spawn('perl', ['-e', program], { reject: false });
  await new Promise((resolve) => racer.stdout?.once('data', resolve));
  const answers = { read: 0, refused: 0 };
  for (let round = 0; round < 500; round++) {
    try {
      expect(await sandbox.fs.readFile('/tmp/race/dir/passwd', { encoding: 'utf8' })).toBe('inside');
      answers.read++;
    } catch (error) {
      expect(['ELOOP', 'EAGAIN', 'ENOENT']).toContain((error as NodeJS.ErrnoException).code);
      answers.refused++;
    }
  }
  await line('touch /tmp/stop');
  await racer;
  expect(answers.read).toBeGreaterThan(0);
  expect(answers.refused).toBeGreaterThan(0);
}, 120_000);

testIf(isRoot, 'root', 'files that fs writes belong to an id of the sandbox, also with a range of ids', async () => {
  const directory = temporaryDirectory();
  const options: SandboxOptions = { user: { ids: 'range' }, capabilities: ['CAP_CHOWN'] };
  const own = await Sandbox.open(options);
  await own.fs.writeFile('/tmp/f', 'x');
  expect((await line('stat -c %u /tmp/f; chown 33 /tmp/f', own)).stdout).toBe('0');
  expect(await own.fs.readFile('/tmp/f', { encoding: 'utf8' })).toBe('x');
  await own.close();
  directory.remove();
});

test('fs is closed with its sandbox and leaves no descriptor open', async () => {
  const before = openDescriptors();
  const own = await Sandbox.open();
  await own.fs.writeFile('/tmp/f', 'x');
  await rejection(own.fs.readFile('/tmp/none'));
  await own.close();
  expect(await code(own.fs.readFile('/tmp/f'))).toBe('ERR_NSJS_CLOSED');
  // The exit notification of the keeper arrives shortly after.
  await eventually(() => expect(openDescriptors()).toBeLessThanOrEqual(before));
});

test('copyIn() copies symbolic links of the host as links', async () => {
  const directory = temporaryDirectory();
  symlinkSync('/etc/passwd', join(directory.path, 'l'));
  await sandbox.fs.copyIn(directory.path, '/tmp/links');
  expect((await line('readlink /tmp/links/l')).stdout).toBe('/etc/passwd');
  expect(lstatSync(join(directory.path, 'l')).isSymbolicLink()).toBe(true);
  expect(readlinkSync(join(directory.path, 'l'))).toBe('/etc/passwd');
  directory.remove();
});
