// A sandbox that root runs starts from a mount namespace without mounts of the host. A sandbox that another user runs
// starts from a copy of the host's mount namespace and then leaves the host's root.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { explain, Sandbox, spawnIsolated } from 'nsjs';
import { callNumber, isRoot, sh, temporaryDirectory, testIf } from '../../support';
import { keepersGone, openDescriptors } from '../../support/processes';

const operations = (options = {}) => explain(options).steps.map(({ operation }) => operation);
// Tries to escape from a chroot: starting outside its root, the program goes up as far as it can.
const up =
  'mkdir "/tmp/x"; chroot "/tmp/x" or die "chroot: $!"; chdir ".." for 1 .. 50; chroot "." or die "again: $!"; print join " ", sort glob "/*"';

testIf(isRoot, 'root', 'a sandbox that needs paths of the host or has no procfs starts from a copy', () => {
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

testIf(!isRoot, 'a user', 'a sandbox of an unprivileged user always starts from a copy', () => {
  expect(operations()).toContain('PivotRoot');
});

test('a program that may change its root finds nothing above it', async () => {
  const directories = (await sh('ls -A /')).split('\n').map((name) => `/${name}`);
  const { stdout } = await spawnIsolated('perl', ['-e', up], {
    capabilities: ['CAP_SYS_CHROOT'],
    seccomp: { allow: ['chroot'] },
  });
  expect(stdout.split(' ')).toEqual(directories.sort());
  await using sandbox = await Sandbox.open({ capabilities: ['CAP_SYS_CHROOT'], seccomp: { allow: ['chroot'] } });
  expect(await sandbox.spawn('perl', ['-e', up])).toMatchObject({ stdout });
});

// Detaches the root with umount2("/", MNT_DETACH), enters its own mount namespace again with setns, and lists files.
const under = `open my $ns, "<", "/proc/self/ns/mnt" or die "open: $!"; my $root = "/";
  syscall ${callNumber('umount2')}, $root, 2; syscall ${callNumber('setns')}, fileno $ns, 0x20000;
  print join " ", sort glob "/* /proc/[1-9]* /proc/c*"`;

test('a program that may unmount its root finds nothing of the host under it', async () => {
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
  // If a user runs nsjs, the program sees its own root, which cannot be unmounted. If root runs nsjs, it sees that root
  // or the mount under it. Neither contains a file of the host or a process.
  expect(found).not.toContain('/root');
  if (!found.includes('/usr')) expect(found.filter((path) => path !== '')).toEqual(['/proc']);
});

test('a program without a procfs cannot mount one', async () => {
  const mount = `my ($t, $d) = ("proc", "/tmp"); exit(syscall(${callNumber('mount')}, $t, $d, $t, 0, 0) == 0 ? 0 : 7)`;
  const line = `exec unshare -mp --fork perl -e '${mount}'`;
  const options = { proc: 'off', capabilities: ['CAP_SYS_ADMIN'], landlock: 'off', seccomp: { allow: ['mount', 'unshare'] } } as const;
  expect((await spawnIsolated('/bin/sh', ['-c', line], { ...options, reject: false })).exitCode).not.toBe(0);
});

const nodeScript = `require(${JSON.stringify(require.resolve('nsjs'))}).spawnIsolated('ls', ['/']).then(({ stdout }) => console.log(stdout.length), ({ code, syscall }) => console.log(code, syscall))`;

testIf(isRoot, 'root', 'without CAP_SYS_CHROOT a sandbox starts from a copy of the host’s mounts', () => {
  const text = execFileSync('setpriv', ['--bounding-set', '-sys_chroot', process.execPath, '-e', nodeScript], { encoding: 'utf8' });
  expect(Number(text)).toBeGreaterThan(3);
});

testIf(isRoot, 'root', 'a process in a chroot cannot create a sandbox that escapes from it', () => {
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

test('no mount of the host is visible', async () => {
  const targets = (text: string) =>
    text
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[4]);
  const inside = targets(await sh('cat /proc/self/mountinfo'));
  expect(inside).toContain('/');
  // Only those mounts of the host that are bound are visible, with the mounts below them.
  const own = ['/', '/proc', '/tmp', '/dev', '/dev/shm', '/usr'];
  for (const target of targets(readFileSync('/proc/self/mountinfo', 'latin1')))
    if (target !== undefined && !own.includes(target) && !target.startsWith('/usr/')) expect(inside).not.toContain(target);
});

test('the mount namespace that sandboxes start from is recreated repeatedly without leaking descriptors', async () => {
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
