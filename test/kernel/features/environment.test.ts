import { type SpawnOptions, spawnIsolated } from 'nsjs';
import { output, rejection, sh, thrown, trySh } from '../../support';

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
  test('the working directory is the home directory, or what is named', async () => {
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
