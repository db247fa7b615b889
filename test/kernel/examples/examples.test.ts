import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { hasCgroups } from '../../support';

const run = (name: string) =>
  execFileSync(process.execPath, [join(__dirname, `../../../dist-examples/${name}.js`)], { encoding: 'utf8', timeout: 50_000 });

test('an untrusted script runs, the report describes it, and every forbidden access is refused', () => {
  const text = run('untrusted-script');
  expect(text).toContain('most frequent word: the × 3');
  expect(text).toContain('"noNewPrivileges": true');
  expect(text.match(/^refused {2}/gm)).toHaveLength(10);
  expect(text).not.toContain('OPEN');
});

test('a build step can write to one directory only', () => {
  const text = run('build-step');
  expect(text).toContain('built: a b c');
  expect(text).toContain('it belongs to the caller: true');
  expect(text).toMatch(/the sources are safe: .*Read-only file system/);
});

test('a sandbox without a network reaches its own server but not the server of the host', () => {
  expect(run('no-network').match(/(refused|connected)$/gm)).toEqual(['refused', 'connected', 'connected']);
});

test('output is streamed until the caller aborts the program', () => {
  expect(run('stream-and-abort')).toBe('line 1\nline 2\nline 3\nended: ABORT_ERR, because: seen enough\n');
});

test('a running sandbox is monitored, and its memory limit is raised', () => {
  const text = run('watch-and-update');
  expect(text).toMatch(/^\d+ MiB, \d+ ms of CPU time, \d+ %$/m);
  if (hasCgroups) expect(text).toContain('the limit is now 128 MiB');
  expect(text).toMatch(/^exited done$/m);
});
