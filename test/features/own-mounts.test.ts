// Run by root a sandbox starts from a mount namespace that has nothing of the host; by a user from a copy of the host's, which it leaves.
import { readFileSync } from 'node:fs';
import { explain, Sandbox, spawnIsolated } from 'nsjs';
import { keepersGone, openDescriptors } from '../leaks/processes';
import { isRoot, sh, temporaryFolder, testIf } from '../support';

const operations = (options = {}) => explain(options).steps.map(({ operation }) => operation);
// Goes up from a folder outside of its root, as far as there is a way.
const up =
  'mkdir "/tmp/x"; chroot "/tmp/x" or die "chroot: $!"; chdir ".." for 1 .. 50; chroot "." or die "again: $!"; print join " ", sort glob "/*"';

testIf(isRoot, 'root', 'what needs the host, or may mount a procfs of its own, starts from a copy', () => {
  expect(operations()).toContain('EnterRoot');
  expect(operations()).not.toContain('PivotRoot');
  const folder = temporaryFolder();
  expect(operations({ mounts: [{ type: 'bind', source: folder.path, target: '/x' }] })).toContain('EnterRoot');
  folder.remove();
  for (const options of [
    { mounts: [{ type: 'mask', target: '/usr' }] },
    { mounts: [{ type: 'overlay', target: '/x', lower: ['/etc/ssl'] }] },
    { nestedUserNamespaces: true },
    { preset: 'container' },
  ]) {
    expect(operations(options)).toContain('PivotRoot');
    expect(operations(options)).not.toContain('EnterRoot');
  }
});

testIf(!isRoot, 'a user', 'a user has nothing else to start from', () => {
  expect(operations()).toContain('PivotRoot');
});

test('who may change its root finds nothing above it', async () => {
  const folders = (await sh('ls -A /')).split('\n').map((name) => `/${name}`);
  const { stdout } = await spawnIsolated('perl', ['-e', up], {
    capabilities: ['CAP_SYS_CHROOT'],
    seccomp: { allow: ['chroot'] },
  });
  expect(stdout.split(' ')).toEqual(folders.sort());
  await using sandbox = await Sandbox.open({ capabilities: ['CAP_SYS_CHROOT'], seccomp: { allow: ['chroot'] } });
  expect(await sandbox.spawn('perl', ['-e', up])).toMatchObject({ stdout });
});

test('no mount of the host is to be seen', async () => {
  const targets = (text: string) =>
    text
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[4]);
  const inside = targets(await sh('cat /proc/self/mountinfo'));
  expect(inside).toContain('/');
  // Of the host's only what is bound, with what is mounted below it.
  const own = ['/', '/proc', '/tmp', '/dev', '/dev/shm', '/usr'];
  for (const target of targets(readFileSync('/proc/self/mountinfo', 'latin1')))
    if (target !== undefined && !own.includes(target) && !target.startsWith('/usr/')) expect(inside).not.toContain(target);
});

test('what sandboxes start from is made anew now and then, and nothing of it adds up', async () => {
  await Promise.all(Array.from({ length: 8 }, () => sh('true')));
  await keepersGone();
  const before = openDescriptors();
  for (let round = 0; round < 20; round++) {
    const roots = await Promise.all(Array.from({ length: 8 }, () => sh('ls -A / | tr "\\n" " "')));
    expect(new Set(roots).size).toBe(1);
  }
  await keepersGone();
  expect(openDescriptors()).toBeLessThanOrEqual(before);
});
