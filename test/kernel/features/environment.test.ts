import { type SpawnOptions, spawnIsolated } from 'nsjs';
import { output, rejection, sh, thrown, trySh } from '../../support';

describe('network', () => {
  test('the loopback interface is up and is the only interface', async () => {
    const script =
      'use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen=>1, LocalAddr=>"127.0.0.1") or die; print IO::Socket::INET->new(PeerAddr=>"127.0.0.1", PeerPort=>$s->sockport) ? "up" : "down"';
    expect(await output('perl', ['-e', script])).toBe('up');
    expect(await sh('tail -n +3 /proc/self/net/dev | cut -d: -f1 | tr -d " "')).toBe('lo');
  });
});

describe('env, cwd, argv0', () => {
  test('no variable of the caller’s environment is passed on', async () => {
    process.env.NSJS_TEST_SECRET = 'secret';
    const names = (await output('env')).split('\n').map((line) => line.split('=')[0]);
    expect(names.sort()).toEqual(['HOME', 'LANG', 'PATH', 'TERM', 'TZ']);
  });
  test('env adds variables, and undefined removes them', async () => {
    expect(await output('env', [], { env: { A: '1', TZ: undefined, LANG: undefined, TERM: undefined, HOME: undefined } })).toMatch(
      /^PATH=.*\nA=1$/,
    );
  });
  test.each([{ 'A=B': '1' }, { '': '1' }, { A: 'x\0y' }, { A: 1 }])('%j is refused', (env) => {
    expect(thrown(() => spawnIsolated('true', [], { env } as unknown as SpawnOptions)).name).toBe('OptionError');
  });
  test('the working directory is the home directory unless cwd is set', async () => {
    expect(await output('pwd')).toBe('/home/sandbox');
    expect(await output('pwd', [], { cwd: '/tmp' })).toBe('/tmp');
    expect(await output('pwd', [], { cwd: new URL('file:///usr') })).toBe('/usr');
  });
  test('an error about a missing working directory names the option', async () => {
    expect(await rejection(spawnIsolated('true', [], { cwd: '/nonexistent' }))).toMatchObject({
      name: 'SysError',
      code: 'ENOENT',
      origin: 'cwd',
    });
  });
  test('a descriptor link below /proc is refused as working directory (CVE-2024-21626)', async () => {
    for (const fd of [0, 3, 7, 64, 65, 66, 67, 68]) {
      expect(await rejection(spawnIsolated('pwd', [], { cwd: `/proc/self/fd/${fd}` }))).toMatchObject({ name: 'SysError', origin: 'cwd' });
    }
  });
  test('the program sees argv0 as its name', async () => {
    expect(await output('/bin/sh', ['-c', 'echo $0'], { argv0: 'other' })).toBe('other');
  });
});

describe('process', () => {
  test('the program is the leader of a session without a terminal', async () => {
    expect(await sh('cut -d" " -f1,6,7 /proc/$$/stat')).toBe('2 2 0');
    expect((await trySh('echo > /dev/tty')).exitCode).not.toBe(0);
  });
  test('the umask is 022 unless it is set', async () => {
    expect(await sh('umask')).toBe('0022');
    expect(await sh('umask', { umask: 0o077 })).toBe('0077');
  });
  test('the program has only the descriptors 0, 1 and 2', async () => {
    expect(await sh('ls /proc/$$/fd')).toBe('0\n1\n2');
  });
  test('no signal is ignored or blocked', async () => {
    const status = await sh('grep -E "^Sig(Blk|Ign)" /proc/self/status');
    expect(status.match(/0{16}/g)).toHaveLength(2);
  });
});
