// Run by root a sandbox starts from a mount namespace that has nothing of the host; by a user from a copy of the host's, which it leaves.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { explain, Sandbox, spawnIsolated } from 'nsjs';
import { isRoot, sh, temporaryDirectory, testIf } from '../../support';
import { keepersGone, openDescriptors } from '../../support/processes';

const operations = (options = {}) => explain(options).steps.map(({ operation }) => operation);
// Goes up from a directory outside of its root, as far as there is a way.
const up =
  'mkdir "/tmp/x"; chroot "/tmp/x" or die "chroot: $!"; chdir ".." for 1 .. 50; chroot "." or die "again: $!"; print join " ", sort glob "/*"';

testIf(isRoot, 'root', 'what needs the host, or may mount a procfs of its own, starts from a copy', () => {
  expect(operations()).toContain('EnterRoot');
  expect(operations()).not.toContain('PivotRoot');
  const directory = temporaryDirectory();
  expect(operations({ mounts: [{ type: 'bind', source: directory.path, target: '/x' }] })).toContain('EnterRoot');
  directory.remove();
  for (const options of [
    { mounts: [{ type: 'mask', target: '/usr' }] },
    { mounts: [{ type: 'overlay', target: '/x', lower: ['/etc/ssl'] }] },
    { proc: 'off' },
  ]) {
    expect(operations(options)).toContain('PivotRoot');
    expect(operations(options)).not.toContain('EnterRoot');
  }
});

testIf(!isRoot, 'a user', 'a user has nothing else to start from', () => {
  expect(operations()).toContain('PivotRoot');
});

test('who may change its root finds nothing above it', async () => {
  const directories = (await sh('ls -A /')).split('\n').map((name) => `/${name}`);
  const { stdout } = await spawnIsolated('perl', ['-e', up], {
    capabilities: ['CAP_SYS_CHROOT'],
    seccomp: { allow: ['chroot'] },
  });
  expect(stdout.split(' ')).toEqual(directories.sort());
  await using sandbox = await Sandbox.open({ capabilities: ['CAP_SYS_CHROOT'], seccomp: { allow: ['chroot'] } });
  expect(await sandbox.spawn('perl', ['-e', up])).toMatchObject({ stdout });
});

// umount2("/", MNT_DETACH), setns into its own mount namespace, and a look round.
const under = `use Config; my ($umount, $setns) = $Config{archname} =~ /aarch64/ ? (39, 268) : (166, 308);
  open my $ns, "<", "/proc/self/ns/mnt" or die "open: $!"; my $root = "/"; syscall $umount, $root, 2; syscall $setns, fileno $ns, 0x20000;
  print join " ", sort glob "/* /proc/[1-9]* /proc/c*"`;

test('who may unmount its root finds nothing under it', async () => {
  const { stdout } = await spawnIsolated('perl', ['-e', under], {
    user: { inner: false },
    capabilities: 'all',
    landlock: 'off',
    proc: 'full',
    nestedUserNamespaces: true,
    seccomp: { allow: ['umount2', 'setns'] },
    reject: false,
  });
  const found = stdout.split(' ');
  // Of a user its own root, which can't be unmounted; of root that or what is under it: no file of the host, no process.
  expect(found).not.toContain('/root');
  if (!found.includes('/usr')) expect(found.filter((path) => path !== '')).toEqual(['/proc']);
});

test('where there is no procfs nobody may mount one', async () => {
  const mount =
    'my ($t, $d) = ("proc", "/tmp"); exit(syscall($^O eq "linux" && `uname -m` =~ /aarch64/ ? 40 : 165, $t, $d, $t, 0, 0) == 0 ? 0 : 7)';
  const line = `exec unshare -mp --fork perl -e '${mount}'`;
  const options = { proc: 'off', capabilities: ['CAP_SYS_ADMIN'], landlock: 'off', seccomp: { allow: ['mount', 'unshare'] } } as const;
  expect((await spawnIsolated('/bin/sh', ['-c', line], { ...options, reject: false })).exitCode).not.toBe(0);
});

const nodeScript = `require(${JSON.stringify(require.resolve('nsjs'))}).spawnIsolated('ls', ['/']).then(({ stdout }) => console.log(stdout.length), ({ code, syscall }) => console.log(code, syscall))`;

testIf(isRoot, 'root', 'without CAP_SYS_CHROOT it starts from a copy of what there is', () => {
  const text = execFileSync('setpriv', ['--bounding-set', '-sys_chroot', process.execPath, '-e', nodeScript], { encoding: 'utf8' });
  expect(Number(text)).toBeGreaterThan(3);
});

testIf(isRoot, 'root', 'a process in a chroot gets no sandbox that has left it', () => {
  const directory = temporaryDirectory();
  try {
    const line = `mount --rbind / "$0" && exec chroot "$0" "$1" -e "$2"`;
    const script = ['sh', '-c', line, directory.path, process.execPath, nodeScript];
    const text = execFileSync('unshare', ['-m', '--propagation', 'private', ...script], { encoding: 'utf8' });
    expect(text).toBe('EPERM clone3\n');
  } finally {
    directory.remove();
  }
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
