import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Sandbox, spawnIsolated } from 'nsjs';
import { sleep, temporaryDirectory, trySh } from '../../support';

let directory: ReturnType<typeof temporaryDirectory>;

beforeEach(() => {
  directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
});

afterEach(() => directory.remove());

describe('preset landlock', () => {
  const preset = 'landlock' as const;

  test('a program cannot change mode, owner, times or attributes of files that it may not open', async () => {
    const secret = join(directory.path, 'key');
    writeFileSync(secret, 'secret', { mode: 0o600 });
    const before = statSync(secret);
    await trySh(`chmod 666 ${secret}; touch -d 2001-01-01 ${secret}; chown $(id -u) ${secret}; setfattr -n user.x -v 1 ${secret}`, {
      preset,
    });
    const after = statSync(secret);
    expect([after.mode, after.mtimeMs, after.ctimeMs]).toEqual([before.mode, before.mtimeMs, before.ctimeMs]);
  });

  test('a program cannot send to a socket of the host', async () => {
    const path = join(directory.path, 'socket');
    const received: string[] = [];
    const program =
      'socketpair(my $a, my $b, 1, 2, 0) or do { print $!+0; exit }; print defined(send($a, "evil", 0, pack("S a*", 1, $ARGV[0] . "\\0"))) ? "sent" : $!+0';
    // Node has no datagram sockets of this family: Perl listens.
    const listener = spawn('perl', [
      '-MIO::Socket::UNIX',
      '-e',
      '$s = IO::Socket::UNIX->new(Type => 2, Local => $ARGV[0]); chmod 0777, $ARGV[0]; $| = 1; print "ready\\n"; $s->recv($m, 100); print $m',
      path,
    ]);
    listener.stdout.on('data', (data) => received.push(String(data)));
    while (received.length === 0) await sleep(5);
    const { stdout } = await spawnIsolated('perl', ['-e', program, path], { preset, encoding: 'utf8' });
    expect(stdout).toBe('97');
    await sleep(50);
    listener.kill('SIGKILL');
    expect(received).toEqual(['ready\n']);
    createSocket('udp4').close();
  });

  test('a program can neither control a process of the host nor share memory with one', async () => {
    const pid = process.pid;
    const line = `renice -n 5 -p ${pid}; taskset -p 1 ${pid}; chrt -i -p 0 ${pid}; ipcs -m > /dev/null && ipcmk -M 10`;
    const before = execFileSync('ps', ['-o', 'ni=,psr=,cls=', '-p', `${pid}`], { encoding: 'utf8' }).split(/\s+/)[1];
    const { stdout } = await trySh(line, { preset });
    expect(stdout).not.toMatch(/new|Shared memory id/);
    expect(execFileSync('ps', ['-o', 'ni=,psr=,cls=', '-p', `${pid}`], { encoding: 'utf8' }).split(/\s+/)[1]).toBe(before);
  });

  test('a program cannot replace a path that the next program may access', async () => {
    const [work, secrets] = [join(directory.path, 'work'), join(directory.path, 'secrets')];
    for (const path of [work, join(work, 'in'), secrets]) {
      mkdirSync(path);
      chmodSync(path, 0o777);
    }
    writeFileSync(join(secrets, 'f'), 'secret');
    const sandbox = await Sandbox.open({ preset, landlock: { execute: ['system'], write: [work], read: [join(work, 'in')] } });
    await sandbox.spawn('/bin/sh', ['-c', `mv ${work}/in ${work}/old; ln -s ${secrets} ${work}/in`], { reject: false });
    const { stdout } = await sandbox.spawn('/bin/sh', ['-c', `cat ${work}/in/f`], { reject: false });
    await sandbox.close();
    expect(stdout).toBe('');
    expect(existsSync(join(work, 'in/f'))).toBe(true);
  });
});
