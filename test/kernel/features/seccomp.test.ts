// The filter in the kernel: a program that runs under the filter tries every system call.
import { readFileSync } from 'node:fs';
import { seccompFilter, spawnIsolated } from 'nsjs';
import { decide, type Policy } from '../../../dist/seccomp/policy';
import { defaultProfile } from '../../../dist/seccomp/profile';
import { type Arch, archTables } from '../../../dist/seccomp/tables';
import { callNumber, output } from '../../support';

const profile = (name: string) =>
  JSON.parse(readFileSync(`${__dirname}/../../../test/data/${name}-default-seccomp.json`, 'utf8')) as object;

describe('a filter in the kernel', () => {
  // Calls that would end or block the test program, or that are harmless only with memory of their own.
  const unsafe = new Set([
    'exit',
    'exit_group',
    'rt_sigreturn',
    'pause',
    'vfork',
    'fork',
    'clone',
    'execve',
    'execveat',
    'read',
    'wait4',
    'waitid',
    'select',
    'pselect6',
    'ppoll',
    'poll',
    'rt_sigsuspend',
    'sigaltstack',
    'alarm',
    'setitimer',
    'kill',
    'tkill',
    'tgkill',
    'close',
    'close_range',
    'brk',
    'munmap',
    'mprotect',
    'mmap',
    'dup2',
    'dup3',
    'restart_syscall',
    'futex',
    'rt_sigtimedwait',
    'setsid',
    'seccomp',
    'prctl',
    'arch_prctl',
    'mremap',
    'pkey_mprotect',
    'madvise',
    'rseq',
    'set_robust_list',
    'set_tid_address',
    'chdir',
    'fchdir',
    'msync',
    'mlockall',
    'rt_sigprocmask',
    'rt_sigaction',
    'remap_file_pages',
    'mseal',
    'syncfs',
    'sync',
    'landlock_restrict_self',
    'setrlimit',
    'prlimit64',
    'sendfile',
    'splice',
    // The kernel handles these two before any filter, for its own trampolines; calls from elsewhere raise SIGILL.
    'uretprobe',
    'uprobe',
  ]);

  test('every call that the policy refuses fails with the errno of the policy', async () => {
    const policy: Policy = defaultProfile({ nestedUserNamespaces: false, netlinkRoute: false });
    const arch = process.arch as Arch;
    const args = [-1n, 0n, 0n, 0n, 0n, 0n].map((value) => BigInt.asUintN(64, value));
    const names = Object.keys(archTables[arch].numbers).filter((name) => !unsafe.has(name));
    const script = `$| = 1; for (@ARGV) { $! = 0; my $r = syscall($_, -1, 0, 0, 0, 0, 0); print $_, " ", ($r == -1 ? $!+0 : 0), "\\n"; }`;
    const lines = (await output('perl', ['-e', script, ...names.map((name) => `${archTables[arch].numbers[name]}`)])).split('\n');
    expect(lines).toHaveLength(names.length);
    for (const [index, line] of lines.entries()) {
      const name = names[index] ?? '';
      const got = Number(line.split(' ')[1]);
      const expected = decide(policy, name, args);
      if (expected.kind === 'errno') expect([name, got]).toEqual([name, expected.errno]);
    }
  });

  test('calls in deny fail with EPERM', async () => {
    const deny = ['sethostname', 'getpgrp', 'mincore', 'uname'];
    const numbers = deny.map((name) => archTables[process.arch as Arch].numbers[name]).filter((number) => number !== undefined);
    const { stdout } = await spawnIsolated(
      'perl',
      ['-e', 'for (@ARGV) { $! = 0; syscall($_, 0, 0, 0, 0, 0, 0); print $!+0, "\\n" }', ...numbers.map(String)],
      { seccomp: { deny } },
    );
    expect(stdout.split('\n')).toEqual(numbers.map(() => '1'));
  });
});

test('a program runs under each container profile, and a call that the profile refuses fails', async () => {
  for (const name of ['moby', 'podman']) {
    const seccomp = { docker: profile(name) };
    expect(await output('perl', ['-e', `print syscall(${callNumber('bpf')}, 0, 0, 0), " ", $!+0`], { seccomp })).toBe('-1 1');
  }
});

test('a profile that allows user namespaces does not enable them', async () => {
  const { stdout } = await spawnIsolated('/bin/sh', ['-c', 'unshare -U true; echo $?'], {
    seccomp: { podman: profile('podman') },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  expect(stdout).toBe('1');
});

test('equal policies have the same hash, and the report contains it', async () => {
  const { report } = await spawnIsolated('true', [], { seccomp: { deny: ['getpgid'] } });
  expect(report.seccomp?.hash).toBe(seccompFilter({ seccomp: { deny: ['getpgid'] } })?.hash);
  expect(report.seccomp?.hash).not.toBe(seccompFilter({ seccomp: 'default' })?.hash);
});
