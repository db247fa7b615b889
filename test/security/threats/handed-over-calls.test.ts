import { chmodSync } from 'node:fs';
import { type SpawnOptions, type SyscallAnswer, spawnIsolated } from 'nsjs';
import { callNumber, isSlow, temporaryDirectory } from '../../support';

let directory: ReturnType<typeof temporaryDirectory>;

beforeEach(() => {
  directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
});

afterEach(() => directory.remove());

describe('system calls that are passed to this process', () => {
  const run = (line: string, options: SpawnOptions) => spawnIsolated('perl', ['-e', line], { ...options, encoding: 'utf8', reject: false });

  test('a flood of refused calls does not delay the timeout', async () => {
    const line = `for (1 .. 12) { fork or do { syscall(${callNumber('mount')}, 0, 0, 0, 0, 0) while 1 } } 1 while wait > 0`;
    const start = performance.now();
    const { reason } = await run(line, { violations: true, timeout: 500, killGrace: 0 });
    expect(reason).toBe('timeout');
    expect(performance.now() - start).toBeLessThan(5 * 500 * (isSlow ? 10 : 1));
  });

  test('sendmsg stays denied with any flags', async () => {
    const line = `socketpair(my $a, my $b, 1, 1, 0); for my $f (0, 0x4000, 0x4800) { $! = 0; syscall(${callNumber('sendmsg')}, fileno($a), 0, $f, 0x4800, 0, 0); print $!+0, " " }`;
    expect((await run(line, { violations: true, seccomp: { deny: ['sendmsg'] } })).stdout).toBe('1 1 1 ');
  });

  test.each<[string, unknown]>([
    ['a number for a value', { kind: 'return', value: 5 }],
    ['no value', { kind: 'return' }],
    ['a name for an errno', { kind: 'deny', errno: 'EPERM' }],
    ['no errno', { kind: 'deny', errno: 0 }],
    ['a descriptor below zero', { kind: 'fd', fd: -1 }],
  ])('an answer with %s results in ENOSYS', async (_, answer) => {
    expect((await run('mkdir "/tmp/x"; print $!+0', { onSyscall: { mkdir: () => answer as SyscallAnswer } })).stdout).toBe('38');
  });
});
