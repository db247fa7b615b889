import { hostname } from 'node:os';
import { type SpawnOptions, spawnIsolated } from 'nsjs';
import { output, rejection, sh, thrown, trySh } from '../support';

describe('hostname and domainname', () => {
  test('the sandbox has its own names, the host keeps its', async () => {
    const before = hostname();
    expect(await sh('uname -n; cat /proc/sys/kernel/domainname', { hostname: 'box', domainname: 'example', proc: 'full' })).toBe(
      'box\nexample',
    );
    expect(hostname()).toBe(before);
    expect(await output('uname', ['-n'])).toBe('sandbox');
  });
  test('a name over 64 bytes is refused', () => {
    expect(thrown(() => spawnIsolated('true', [], { hostname: 'x'.repeat(65) })).message).toMatch(/^hostname: /);
  });
  test('a name for the host’s uts namespace is refused', () => {
    expect(thrown(() => spawnIsolated('true', [], { hostname: 'x', namespaces: { uts: false } })).message).toMatch(/^hostname: /);
  });
});

describe('network', () => {
  test('there is a loopback interface, it is up, and it is the only one', async () => {
    const script =
      'use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen=>1, LocalAddr=>"127.0.0.1") or die; print IO::Socket::INET->new(PeerAddr=>"127.0.0.1", PeerPort=>$s->sockport) ? "up" : "down"';
    expect(await output('perl', ['-e', script])).toBe('up');
    expect(await sh('tail -n +3 /proc/self/net/dev | cut -d: -f1 | tr -d " "')).toBe('lo');
  });
});

describe('env, cwd, argv0', () => {
  test('nothing of the caller’s environment goes in', async () => {
    process.env.NSJS_TEST_SECRET = 'secret';
    const names = (await output('env')).split('\n').map((line) => line.split('=')[0]);
    expect(names.sort()).toEqual(['HOME', 'LANG', 'PATH', 'TERM', 'TZ']);
  });
  test('env adds and undefined removes', async () => {
    expect(await output('env', [], { env: { A: '1', TZ: undefined, LANG: undefined, TERM: undefined, HOME: undefined } })).toMatch(
      /^PATH=.*\nA=1$/,
    );
  });
  test.each([{ 'A=B': '1' }, { '': '1' }, { A: 'x\0y' }, { A: 1 }])('%j is refused', (env) => {
    expect(thrown(() => spawnIsolated('true', [], { env } as unknown as SpawnOptions)).name).toBe('OptionError');
  });
  test('the working directory is the home folder, or what is named', async () => {
    expect(await output('pwd')).toBe('/home/sandbox');
    expect(await output('pwd', [], { cwd: '/tmp' })).toBe('/tmp');
    expect(await output('pwd', [], { cwd: new URL('file:///usr') })).toBe('/usr');
  });
  test('a working directory that is missing names the option', async () => {
    expect(await rejection(spawnIsolated('true', [], { cwd: '/nonexistent' }))).toMatchObject({
      name: 'SysError',
      code: 'ENOENT',
      origin: 'cwd',
    });
  });
  test('a link of /proc is no working directory (CVE-2024-21626)', async () => {
    for (const fd of [0, 3, 7, 64, 65, 66, 67, 68]) {
      expect(await rejection(spawnIsolated('pwd', [], { cwd: `/proc/self/fd/${fd}` }))).toMatchObject({ name: 'SysError', origin: 'cwd' });
    }
  });
  test('argv0 is what the program sees', async () => {
    expect(await output('/bin/sh', ['-c', 'echo $0'], { argv0: 'other' })).toBe('other');
  });
});

describe('process', () => {
  test('the program leads a session without a terminal', async () => {
    expect(await sh('cut -d" " -f1,6,7 /proc/$$/stat')).toBe('2 2 0');
    expect((await trySh('echo > /dev/tty')).exitCode).not.toBe(0);
  });
  test('umask is 022, or what is named', async () => {
    expect(await sh('umask')).toBe('0022');
    expect(await sh('umask', { umask: 0o077 })).toBe('0077');
  });
  test('no descriptor goes in but the three', async () => {
    expect(await sh('ls /proc/$$/fd')).toBe('0\n1\n2');
  });
  test('signals are not ignored and not blocked', async () => {
    const status = await sh('grep -E "^Sig(Blk|Ign)" /proc/self/status');
    expect(status.match(/0{16}/g)).toHaveLength(2);
  });
});

describe('capabilities', () => {
  const sets = (options: SpawnOptions = {}) => output('grep', ['^Cap', '/proc/self/status'], options);
  test('every set is empty', async () => {
    expect((await sets()).match(/0{16}/g)).toHaveLength(5);
  });
  test('what is named is kept, in every set, and nothing else', async () => {
    expect((await sets({ capabilities: ['CAP_NET_BIND_SERVICE', 'CAP_CHECKPOINT_RESTORE'] })).match(/0000010000000400/g)).toHaveLength(5);
  });
  test('no_new_privs and locked securebits are set', async () => {
    expect(await output('grep', ['NoNewPrivs', '/proc/self/status'])).toMatch(/1$/);
    const call = process.arch === 'x64' ? 157 : 167;
    expect(await output('perl', ['-e', `print syscall(${call}, 27, 0, 0, 0, 0)`])).toBe(`${0x2 | 0x1 | 0xc | 0x20 | 0xc0}`);
  });
  test('a wrong name is refused', () => {
    expect(thrown(() => spawnIsolated('true', [], { capabilities: ['CAP_NET'] } as unknown as SpawnOptions))).toMatchObject({
      path: 'capabilities[0]',
    });
  });
});

describe('the host name', () => {
  const script = `import socket; name = socket.gethostname()
print(name, socket.getfqdn(), socket.gethostbyname(name), socket.gethostbyaddr('127.0.0.1')[0], open('/etc/hostname').read().strip())`;
  const told = (options: SpawnOptions) => output('python3', ['-c', script], options);

  test('resolves inside, by default and as it was given', async () => {
    expect(await told({})).toBe('sandbox sandbox 127.0.1.1 localhost sandbox');
    expect(await told({ hostname: 'box.example' })).toBe('box.example box.example 127.0.1.1 localhost box.example');
    expect(await told({ hostname: 'localhost' })).toBe('localhost localhost 127.0.0.1 localhost localhost');
    expect(await sh('hostname -f')).toBe('sandbox');
    const own = hostname();
    expect(await told({ namespaces: { uts: false } })).toBe(
      `${own} ${own} ${own === 'localhost' ? '127.0.0.1' : '127.0.1.1'} localhost ${own}`,
    );
  });
});

describe('rlimits', () => {
  test('cpu holds beside limits.cpuTime, whoever counts that', async () => {
    expect(await sh('ulimit -t', { rlimits: { cpu: 3 }, limits: { cpuTime: 60_000 } })).toBe('3');
  });

  test('limits are set as named', async () => {
    expect(await sh('ulimit -Sn; ulimit -Hn; ulimit -f', { rlimits: { nofile: { soft: 32, hard: 64 }, fsize: 1024 } })).toBe('32\n64\n2');
  });
  test('the core limit keeps handlers away and cannot be changed', async () => {
    const line = await output('grep', ['core', '/proc/self/limits']);
    expect(line).toMatch(/\s1\s+1\s/);
    // Who lowers it goes on, and it stays: with a pipe in core_pattern only 1 keeps the host's handler away.
    expect(await sh('ulimit -c 0 && grep -c "core file size *1 *1" /proc/self/limits')).toBe('1');
    const python = `import resource, ctypes
resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); print(resource.getrlimit(resource.RLIMIT_CORE))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); print(resource.getrlimit(resource.RLIMIT_FSIZE))
libc = ctypes.CDLL(None, use_errno=True); new = (ctypes.c_ulong * 2)(0, 0); old = (ctypes.c_ulong * 2)()
print(libc.prlimit64(0, 4, new, old), ctypes.get_errno(), libc.prlimit64(1, 4, new, None))`;
    expect(await output('python3', ['-c', python])).toBe('(1, 1)\n(1048576, 1048576)\n-1 1 -1');
  });
  test('soft above hard is refused', () => {
    expect(thrown(() => spawnIsolated('true', [], { rlimits: { nofile: { soft: 5, hard: 4 } } }))).toMatchObject({
      path: 'rlimits.nofile.soft',
    });
  });
});

describe('proc', () => {
  test('only processes, by default', async () => {
    expect(await sh('cd /proc; for f in *; do case $f in [0-9]*|self|thread-self) ;; *) echo $f;; esac; done')).toBe('');
  });
  test('masked: the machine’s size is visible, its secrets are not', async () => {
    expect(Number(await sh('grep -c ^processor /proc/cpuinfo', { proc: 'masked' }))).toBeGreaterThan(0);
    for (const name of ['kallsyms', 'kcore', 'iomem', 'cmdline', 'keys', 'interrupts', 'slabinfo', 'timer_list', 'config.gz']) {
      expect((await trySh(`head -c 1 /proc/${name} 2>/dev/null`, { proc: 'masked' })).stdout).toBe('');
    }
    expect(await sh('ls -A /proc/sys', { proc: 'masked' })).toBe('');
  });
  test('other processes’ folders cannot be seen', async () => {
    expect((await sh('ls /proc')).split('\n')).not.toContain('1');
  });
  test('off: there is none', async () => {
    expect(await sh('ls -A /proc 2>/dev/null || echo none', { proc: 'off' })).toMatch(/^(none)?$/);
  });
});

describe('nested user namespaces', () => {
  test('are refused by the kernel’s limit even without seccomp', async () => {
    expect((await trySh('unshare -U true', { seccomp: 'off' })).stderr).toContain('No space left on device');
  });
  test('are refused by seccomp first', async () => {
    expect((await trySh('unshare -U true')).stderr).toContain('Operation not permitted');
  });
  test('can be allowed', async () => {
    expect(await sh('unshare -U echo nested', { nestedUserNamespaces: true })).toBe('nested');
  });
});
