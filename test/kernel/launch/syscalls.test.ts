// System calls that this process handles for a program, and refused calls that are reported to it.
import { closeSync, openSync } from 'node:fs';
import { Sandbox, type SpawnOptions, type SyscallHandler, spawnIsolated, spawnIsolatedSync, type Violation } from 'nsjs';
import { callNumber, sleep, thrown } from '../../support';
import { openDescriptors } from '../../support/processes';
import { eventually } from '../../support/until';

const run = (line: string, options: SpawnOptions) =>
  spawnIsolated('/bin/sh', ['-c', line], { ...options, encoding: 'utf8', reject: false });

describe('onSyscall', () => {
  test('can deny a call, return a value or allow the call', async () => {
    const handler: SyscallHandler = (call) => {
      const path = call.readString(call.args[0] ?? 0n);
      if (path === '/tmp/quota') return call.deny('EDQUOT');
      return path === '/tmp/lie' ? call.return(0) : call.allow();
    };
    const { stdout, stderr } = await run('mkdir /tmp/quota; mkdir /tmp/lie; mkdir /tmp/real; ls /tmp', { onSyscall: { mkdir: handler } });
    expect(stdout).toBe('real');
    expect(stderr).toContain('Disk quota exceeded');
  });

  test('can give the program a descriptor of this process', async () => {
    const onSyscall: Record<string, SyscallHandler> = {
      openat: async (call) => {
        if (call.readString(call.args[1] ?? 0n) !== '/virtual') return call.allow();
        await sleep(5);
        const fd = openSync('/proc/sys/kernel/ostype', 'r');
        setTimeout(() => closeSync(fd), 1000);
        return call.injectFd(fd);
      },
    };
    expect((await run('cat /virtual', { onSyscall })).stdout).toBe('Linux');
  });

  test('can emulate calls that the filter refuses, but cannot let them through', async () => {
    const seen: string[] = [];
    const mount = (answer: SyscallHandler) =>
      run(`perl -e 'my ($s, $t) = ("what\\0", "/tmp\\0"); $r = syscall(${callNumber('mount')}, $s, $t, 0, 0, 0); print "$r ", $!+0'`, {
        onSyscall: { mount: answer },
      });
    const { stdout } = await mount((call) => {
      seen.push(call.readString(call.args[0] ?? 0n));
      return call.return(0);
    });
    expect([stdout, seen]).toEqual(['0 0', ['what']]);
    expect((await mount((call) => call.allow())).stdout).toBe('-1 38');
  });

  test.each<[string, SyscallHandler]>([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
    ['answers nonsense', () => 'yes' as never],
    ['answers nothing', () => undefined as never],
    ['answers a wrong errno', (call) => call.deny('EFOO')],
    ['gives a descriptor that is none', (call) => call.injectFd(100_000)],
    ['never answers', () => new Promise(() => {})],
  ])('a handler that %s makes the call fail with ENOSYS', async (_, mkdir) => {
    const { stdout } = await run(`perl -e 'mkdir "/tmp/x"; print $!+0'`, { onSyscall: { mkdir }, syscallTimeout: 100 });
    expect(stdout).toBe('38');
  });

  test('invalid memory of the program causes an exception in the handler only', async () => {
    const errors: string[] = [];
    const { stdout } = await run(`perl -e 'syscall(${callNumber('mkdirat')}, -100, -1, 0); print $!+0'`, {
      onSyscall: {
        mkdirat: (call) => {
          try {
            call.readString(call.args[1] ?? 0n);
          } catch (error) {
            errors.push((error as Error).name);
          }
          return call.deny('EFAULT');
        },
      },
    });
    expect([stdout, errors.length]).toEqual(['14', 1]);
  });

  test('applies to many concurrent children of a program, but not to later programs', async () => {
    const getppid = callNumber('getppid');
    let count = 0;
    const sandbox = await Sandbox.open();
    const onSyscall: Record<string, SyscallHandler> = {
      getppid: async (call) => {
        count++;
        await sleep(1);
        return call.return(4242);
      },
    };
    const { stdout } = await sandbox.spawn(
      'perl',
      [
        '-e',
        `$| = 1; for (1 .. 30) { fork or do { syscall(${getppid}) for 1 .. 10; print syscall(${getppid}), "\\n"; exit } } 1 while wait > 0`,
      ],
      { onSyscall },
    );
    expect(stdout.split('\n')).toEqual(Array(30).fill('4242'));
    expect(count).toBe(330);
    expect((await sandbox.spawn('perl', ['-e', `print syscall(${getppid})`])).stdout).not.toBe('4242');
    await sandbox.close();
  });

  test('a program that is killed while a call is pending leaks no descriptors', async () => {
    const before = openDescriptors();
    const running = spawnIsolated('mkdir', ['/tmp/x'], { onSyscall: { mkdir: () => new Promise(() => {}) }, reject: false });
    await running.spawned;
    await sleep(50);
    running.kill('SIGKILL');
    expect((await running).signal).toBe('SIGKILL');
    await eventually(() => expect(openDescriptors()).toBeLessThanOrEqual(before));
  });

  test.each<[object, string]>([
    [{ onSyscall: { mout: () => undefined } }, 'onSyscall.mout: is not a known system call'],
    [{ onSyscall: { mount: 'deny' } }, 'onSyscall.mount: expected a function'],
    [{ syscallTimeout: 0 }, 'syscallTimeout: expected'],
    [{ violations: 1 }, 'violations: expected'],
    [{ usedSyscalls: [] }, 'usedSyscalls: expected a Set'],
    [{ violations: true, seccomp: 'off' }, "seccomp: 'off' installs no filter"],
  ])('%j is refused', (options, message) => {
    expect(thrown(() => spawnIsolated('true', [], options as SpawnOptions)).message).toContain(message);
  });

  test('is refused in the synchronous form', () => {
    expect(thrown(() => spawnIsolatedSync('true', [], { violations: true })).message).toMatch(/^onSyscall: /);
  });
});

test('calls that the filter refuses are reported and still fail', async () => {
  const running = spawnIsolated(
    'perl',
    [
      '-e',
      `syscall(${callNumber('mount')}, 1, 2, 3, 4, 5); print $!+0; my $p = "/tmp\\0"; syscall(${callNumber('fchmodat')}, -100, $p, 04755); print " ", $!+0`,
    ],
    {
      violations: true,
      encoding: 'utf8',
    },
  );
  const seen: Violation[] = [];
  running.events.on('violation', (violation) => seen.push(violation));
  expect((await running).stdout).toBe('38 1');
  expect(seen.find(({ syscall }) => syscall === 'mount')).toMatchObject({ errno: 38, args: expect.arrayContaining([1n, 2n, 3n]) });
  expect(seen.find(({ syscall }) => syscall === 'fchmodat')).toMatchObject({ errno: 1 });
});

test('a policy of recorded calls lets the same program run and refuses other calls', async () => {
  const usedSyscalls = new Set<string>();
  const line = 'echo hi > /tmp/f; cat /tmp/f';
  expect((await run(line, { usedSyscalls })).stdout).toBe('hi');
  expect(usedSyscalls).toContain('openat');
  expect(usedSyscalls).not.toContain('listen');
  const seccomp = { only: [...usedSyscalls] };
  expect((await run(line, { seccomp })).stdout).toBe('hi');
  expect(
    (
      await run(`perl -e 'syscall(${callNumber('listen')}, 0, 0); print $!+0'`, {
        seccomp: { only: [...usedSyscalls, ...['lseek', 'getuid', 'geteuid', 'getgid', 'getegid', 'ioctl', 'fcntl', 'rt_sigaction']] },
      })
    ).stdout,
  ).toBe('38');
});

// The filter passes a copy of the registers. The program can change the memory that they point to until the handler
// copies it.
test('D22: a handler that performs the call itself is not deceived by memory that changes', async () => {
  const program = `
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(b'/tmp/good', 16)
stop = False
def flip():
    while not stop:
        buffer.raw = b'/tmp/evil'.ljust(16, b'\\0'); buffer.raw = b'/tmp/good'.ljust(16, b'\\0')
thread = threading.Thread(target=flip); thread.start()
made = sum(libc.mkdir(buffer, 0o755) == 0 for _ in range(500))
stop = True; thread.join()
import os
print(made > 0, os.path.exists('/tmp/evil'), os.path.exists('/tmp/good'))`;
  const sandbox = await Sandbox.open();
  const { stdout } = await sandbox.spawn('/usr/bin/python3', ['-c', program], {
    onSyscall: {
      mkdir: async (call) => {
        const path = call.readString(call.args[0] ?? 0n);
        if (path !== '/tmp/good') return call.deny('EACCES');
        await sandbox.fs.mkdir('/tmp/good', { recursive: true });
        return call.return(0);
      },
    },
  });
  expect(stdout).toBe('True False True');
  await sandbox.close();
});
