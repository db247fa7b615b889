// Ways that were once open, each closed for good.
import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { presets, Sandbox, type SandboxOptions, type SpawnOptions, type SyscallAnswer, spawnIsolated, unpackImage, unpackTar } from 'nsjs';
import { isRoot, rejection, sh, sleep, temporaryFolder, testIf, thrown, trySh } from '../support';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  chmodSync(folder.path, 0o755);
});
afterEach(() => folder.remove());

const writable = () => ({ type: 'bind', source: folder.path, target: '/out', readonly: false }) as const;

describe('files that carry rights to the host', () => {
  test.each<[string, SandboxOptions]>([
    ['nested user namespaces: file capabilities', { nestedUserNamespaces: true }],
    ['CAP_SETFCAP: file capabilities', { capabilities: ['CAP_SETFCAP'], user: { uid: 0, gid: 0 } }],
    [
      'a rule that allows set-id modes under a condition',
      { seccomp: { allow: [{ names: 'fchmodat', when: [{ index: 0, op: 'eq', value: 0xffffff9c, width: 32 }] }] } },
    ],
    ['io_uring', { seccomp: { allow: ['@aio'] } }],
  ])('%s: no folder of the host can be written then', (_, options) => {
    expect(thrown(() => spawnIsolated('true', [], { ...options, mounts: [writable()] })).message).toMatch(/^mounts\[0\]\.readonly: /);
  });

  test('landlock alone: the same', () => {
    const landlock = { execute: ['system'], write: [folder.path] } as const;
    expect(
      thrown(() =>
        spawnIsolated('true', [], { preset: 'landlock', landlock, seccomp: { deny: ['socket', 'socketpair'], allow: ['fchmodat'] } }),
      ).message,
    ).toMatch(/^landlock: /);
  });

  test('a profile of others makes no set-id file there, by no call', async () => {
    const podman = JSON.parse(readFileSync(join(__dirname, '../../test/data/podman-default-seccomp.json'), 'utf8')) as object;
    const line =
      'cd /out; touch f; chmod 4755 f; perl -e \'$p = "g\\0"; syscall(257, -100, $p, 0101, 06777); $r = syscall(425, 8, 0); print $!+0\'';
    expect((await trySh(line, { seccomp: { podman }, mounts: [writable()] })).stdout).toBe('38');
    for (const name of readdirSync(folder.path)) expect(statSync(join(folder.path, name)).mode & 0o6000).toBe(0);
  });
});

testIf(isRoot, 'root', 'several ids and capabilities over mounts exclude each other, nested or not', () => {
  const capabilities = [...(presets.container.capabilities as readonly string[]), 'CAP_SYS_ADMIN'] as NonNullable<
    SandboxOptions['capabilities']
  >;
  const range = { preset: 'container', user: { ids: 'range' } } as const;
  expect(thrown(() => spawnIsolated('true', [], { ...range, capabilities })).message).toMatch(/^capabilities: CAP_SYS_ADMIN/);
  expect(
    thrown(() => spawnIsolated('true', [], { ...range, capabilities: { inheritable: ['CAP_SYS_PTRACE'], bounding: [] } })).message,
  ).toMatch(/^capabilities: CAP_SYS_PTRACE/);
});

describe('preset landlock', () => {
  const preset = 'landlock' as const;

  test('changes no mode, owner, time or attribute of what it may not open', async () => {
    const secret = join(folder.path, 'key');
    writeFileSync(secret, 'secret', { mode: 0o600 });
    const before = statSync(secret);
    await trySh(`chmod 666 ${secret}; touch -d 2001-01-01 ${secret}; chown $(id -u) ${secret}; setfattr -n user.x -v 1 ${secret}`, {
      preset,
    });
    const after = statSync(secret);
    expect([after.mode, after.mtimeMs, after.ctimeMs]).toEqual([before.mode, before.mtimeMs, before.ctimeMs]);
  });

  test('sends to no socket of the host', async () => {
    const path = join(folder.path, 'socket');
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

  test('steers no process of the host, and shares no memory with one', async () => {
    const pid = process.pid;
    const line = `renice -n 5 -p ${pid}; taskset -p 1 ${pid}; chrt -i -p 0 ${pid}; ipcs -m > /dev/null && ipcmk -M 10`;
    const before = execFileSync('ps', ['-o', 'ni=,psr=,cls=', '-p', `${pid}`], { encoding: 'utf8' }).split(/\s+/)[1];
    const { stdout } = await trySh(line, { preset });
    expect(stdout).not.toMatch(/new|Shared memory id/);
    expect(execFileSync('ps', ['-o', 'ni=,psr=,cls=', '-p', `${pid}`], { encoding: 'utf8' }).split(/\s+/)[1]).toBe(before);
  });

  test('a program cannot put something else in the place of what the next may reach', async () => {
    const [work, secrets] = [join(folder.path, 'work'), join(folder.path, 'secrets')];
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

describe('copies', () => {
  test('a source that is missing takes nothing away at the target', async () => {
    const sandbox = await Sandbox.open();
    await sandbox.fs.mkdir('/home/sandbox/data');
    expect((await rejection(sandbox.fs.copyIn('/nonexistent', '/home/sandbox/data'))).code).toMatch(/ENOENT|EEXIST/);
    expect((await sandbox.fs.stat('/home/sandbox/data')).isDirectory()).toBe(true);
    await sandbox.close();
  });

  test('in from a folder that programs change: never what a link leads to', async () => {
    const secret = join(folder.path, 'secret');
    const shared = join(folder.path, 'shared');
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    writeFileSync(secret, 'secret', { mode: 0o600 });
    writeFileSync(join(shared, 'f'), 'own');
    symlinkSync(secret, join(shared, 'l'));
    const racer = spawn('perl', [
      '-e',
      `my ($a, $b) = ("${shared}/f\\0", "${shared}/l\\0"); $| = 1; print "r"; syscall(316, -100, $a, -100, $b, 2) while 1`,
    ]);
    await new Promise((resolve) => racer.stdout.once('data', resolve));
    const sandbox = await Sandbox.open();
    for (let round = 0; round < 500; round++) {
      await sandbox.fs.copyIn(join(shared, 'f'), `/tmp/f${round}`).catch(() => {});
      const stats = await sandbox.fs.stat(`/tmp/f${round}`).catch(() => undefined);
      if (stats?.isFile()) expect(await sandbox.fs.readFile(`/tmp/f${round}`, { encoding: 'utf8' })).toBe('own');
    }
    await sandbox.close();
    racer.kill('SIGKILL');
  }, 60_000);

  test('out to a folder that programs change: nothing is written beside', async () => {
    const [shared, victim] = [join(folder.path, 'shared'), join(folder.path, 'victim')];
    for (const path of [shared, victim]) mkdirSync(path);
    chmodSync(shared, 0o777);
    const sandbox = await Sandbox.open();
    await sandbox.spawn('/bin/sh', ['-c', 'mkdir /tmp/src; cd /tmp/src; for i in $(seq 50); do echo x > f$i; done']);
    const racer = spawn('perl', [
      '-e',
      `chdir "${shared}"; $| = 1; print "r"; while (1) { for (glob(".nsjs-*")) { rename($_, "taken$$"); symlink("${victim}", $_) } }`,
    ]);
    await new Promise((resolve) => racer.stdout.once('data', resolve));
    for (let round = 0; round < 100; round++) await sandbox.fs.copyOut('/tmp/src', join(shared, `out${round}`)).catch(() => {});
    racer.kill('SIGKILL');
    await sandbox.close();
    expect(readdirSync(victim)).toEqual([]);
  }, 60_000);

  test('of changes have limits', async () => {
    const sandbox = await Sandbox.open({ mounts: [{ type: 'overlay', target: '/o', lower: '/etc/ssl', size: '4M' }] });
    await sandbox.spawn('/bin/sh', ['-c', 'truncate -s 3G /o/sparse; echo x > /o/a; ln /o/a /o/b']);
    const changes = sandbox.overlay('/o');
    expect(await rejection(changes.commit(join(folder.path, 'commit'), { maxSize: '1M' }))).toMatchObject({ code: 'EFBIG' });
    expect(existsSync(join(folder.path, 'commit'))).toBe(false);
    expect(
      await rejection(
        (async () => {
          for await (const _ of changes.exportTar({ maxSize: '1M' }));
        })(),
      ),
    ).toMatchObject({ code: 'EFBIG' });
    await sandbox.fs.rm('/o/sparse');
    await changes.commit(join(folder.path, 'commit'));
    expect(statSync(join(folder.path, 'commit/b')).nlink).toBe(2);
    await sandbox.spawn('perl', ['-e', 'open F, ">", "/o/\\xff"']);
    expect(await rejection(changes.diff())).toMatchObject({ code: 'EILSEQ' });
    await sandbox.close();
  });
});

describe('system calls that are handed over', () => {
  const run = (line: string, options: SpawnOptions) => spawnIsolated('perl', ['-e', line], { ...options, encoding: 'utf8', reject: false });

  test('a flood of refused calls keeps nobody waiting', async () => {
    const line = 'for (1 .. 12) { fork or do { syscall(165, 0, 0, 0, 0, 0) while 1 } } 1 while wait > 0';
    const start = performance.now();
    const { reason } = await run(line, { violations: true, timeout: 500, killGrace: 0 });
    expect(reason).toBe('timeout');
    expect(performance.now() - start).toBeLessThan(5 * 500);
  });

  test('sendmsg stays denied, whatever its flags', async () => {
    const line =
      'socketpair(my $a, my $b, 1, 1, 0); for my $f (0, 0x4000, 0x4800) { $! = 0; syscall(46, fileno($a), 0, $f, 0x4800, 0, 0); print $!+0, " " }';
    expect((await run(line, { violations: true, seccomp: { deny: ['sendmsg'] } })).stdout).toBe('1 1 1 ');
  });

  test.each<[string, unknown]>([
    ['a number for a value', { kind: 'return', value: 5 }],
    ['no value', { kind: 'return' }],
    ['a name for an errno', { kind: 'deny', errno: 'EPERM' }],
    ['no errno', { kind: 'deny', errno: 0 }],
    ['a descriptor below zero', { kind: 'fd', fd: -1 }],
  ])('an answer with %s is ENOSYS', async (_, answer) => {
    expect((await run('mkdir "/tmp/x"; print $!+0', { onSyscall: { mkdir: () => answer as SyscallAnswer } })).stdout).toBe('38');
  });
});

test('what allows user namespaces under some condition is no wall', () => {
  const seccomp = { allow: [{ names: ['unshare'], when: [{ index: 0, op: 'ne', value: 0x10000000 }] }] } as const;
  expect(thrown(() => spawnIsolated('true', [], { user: { inner: false }, seccomp })).message).toMatch(/^nestedUserNamespaces: /);
});

testIf(isRoot, 'root', 'maps of one’s own hold for files of the sandbox as well', async () => {
  const ids = { uids: [{ inside: 0, outside: 1_850_000_000, count: 10 }], gids: [{ inside: 0, outside: 1_850_000_000, count: 10 }] };
  const sandbox = await Sandbox.open({ user: { ids } });
  await sandbox.fs.writeFile('/home/sandbox/f', 'x');
  expect((await sandbox.spawn('stat', ['-c', '%u', '/home/sandbox/f'])).stdout).toBe('0');
  await sandbox.close();
});

test('a program that makes user namespaces is not taken for one that got out', async () => {
  const all = await Promise.all(
    Array.from({ length: 20 }, () => spawnIsolated('unshare', ['-Ur', 'true'], { preset: 'container', verify: true, reject: false })),
  );
  expect(all.map(({ exitCode }) => exitCode)).toEqual(Array(20).fill(0));
});

test('archives that never come are errors', async () => {
  const ended = Readable.from([]);
  ended.destroy();
  expect(await rejection(unpackTar(ended, join(folder.path, 'a')))).toMatchObject({ code: 'ERR_NSJS_ARCHIVE' });
  const silent = new Readable({ read: () => {} });
  expect(await rejection(unpackTar(silent, join(folder.path, 'b'), { signal: AbortSignal.timeout(50) }))).toMatchObject({
    code: 'ABORT_ERR',
  });
  mkdirSync(join(folder.path, 'layout'));
  execFileSync('mkfifo', [join(folder.path, 'layout/index.json')]);
  expect(await rejection(unpackImage(join(folder.path, 'layout'), join(folder.path, 'c')))).toMatchObject({ code: 'ERR_NSJS_ARCHIVE' });
  expect(readdirSync(folder.path).sort()).toEqual(['layout']);
  expect(await sh('echo still works')).toBe('still works');
});
