import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, Socket } from 'node:net';
import { join } from 'node:path';
import { Sandbox } from 'nsjs';
import * as sys from 'nsjs/sys';
import { isRoot, temporaryFolder, testIf, thrown } from '../support';
import { asRoot, inNode } from './run';

describe('files', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  beforeEach(() => {
    folder = temporaryFolder();
  });
  afterEach(() => folder.remove());

  test('openat2 stays within the bounds it is given, also asynchronously', async () => {
    const root = openSync(folder.path, 'r');
    mkdirSync(join(folder.path, 'etc'));
    writeFileSync(join(folder.path, 'etc/hostname'), 'own');
    symlinkSync('/etc/hostname', join(folder.path, 'link'));
    const read = (fd: number) => {
      const buffer = Buffer.alloc(100);
      const size = readSync(fd, buffer);
      closeSync(fd);
      return buffer.toString('utf8', 0, size);
    };
    expect(read(sys.openat2(root, 'link', { flags: constants.O_RDONLY, resolve: sys.RESOLVE.IN_ROOT }))).toBe('own');
    expect(thrown(() => sys.openat2(root, 'link', { flags: 0, resolve: sys.RESOLVE.BENEATH }))).toMatchObject({
      code: 'EXDEV',
      syscall: 'openat2',
    });
    expect(thrown(() => sys.openat2(root, 'link', { flags: 0, resolve: sys.RESOLVE.NO_SYMLINKS }))).toMatchObject({ code: 'ELOOP' });
    const made = await sys.openat2Async(root, 'new', { flags: constants.O_CREAT | constants.O_WRONLY, mode: 0o600 });
    expect(fstatSync(made).mode & 0o777).toBe(0o600);
    closeSync(made);
    await expect(sys.openat2Async(root, 'missing', { flags: 0 })).rejects.toMatchObject({ code: 'ENOENT' });
    closeSync(root);
  });

  test('a FIFO that nobody writes does not hold the event loop', async () => {
    execFileSync('mkfifo', [join(folder.path, 'fifo')]);
    const opening = sys.openat2Async(sys.AT.FDCWD, join(folder.path, 'fifo'), { flags: constants.O_RDONLY });
    const writer = openSync(join(folder.path, 'fifo'), constants.O_RDWR);
    closeSync(await opening);
    closeSync(writer);
  });

  test('nameToHandleAt and openByHandleAt: a namespace is found again while it lives', async () => {
    const self = sys.pidfdOpen(process.pid);
    const net = sys.pidfdNamespace(self, 'net');
    const handle = sys.nameToHandleAt(net, '', sys.AT.EMPTY_PATH);
    const again = sys.openByHandleAt(sys.FD_NSFS_ROOT, JSON.parse(JSON.stringify(handle)));
    expect(fstatSync(again).ino).toBe(fstatSync(net).ino);
    sys.close(await sys.openByHandleAtAsync(sys.FD_NSFS_ROOT, handle));
    const pidfdHandle = sys.nameToHandleAt(self, '', sys.AT.EMPTY_PATH);
    const samePid = sys.openByHandleAt(sys.FD_PIDFS_ROOT, pidfdHandle);
    expect(sys.pidfdInfo(samePid).pid).toBe(process.pid);
    expect(thrown(() => sys.openByHandleAt(sys.FD_NSFS_ROOT, { type: handle.type, bytes: 'zz' }))).toMatchObject({ code: 'EINVAL' });
    expect(thrown(() => sys.openByHandleAt(sys.FD_NSFS_ROOT, { type: handle.type, bytes: '' })).code).toMatch(/EINVAL|ESTALE/);
    for (const fd of [self, net, again, samePid]) sys.close(fd);
  });

  test('closeRange closes, or marks; dup copies', () => {
    const script = `
      const high = () => fs.readdirSync('/proc/self/fd').map(Number).filter((fd) => fd >= 100).join('+');
      const zero = sys.memfdCreate('x', sys.MFD.CLOEXEC);
      const copies = [sys.dup(zero), sys.dup(zero)];
      const last = Math.max(...copies);
      sys.closeRange(last + 1, 0x7fffffff, sys.CLOSE_RANGE.CLOEXEC);
      sys.closeRange(Math.min(...copies), last);
      console.log([copies.every((fd) => failure(() => sys.close(fd)) === 'EBADF'), failure(() => sys.closeRange(5, 4)), failure(() => sys.dup(9999))].join());`;
    expect(inNode(script)).toBe('true,EINVAL,EBADF');
  });

  test('memfdCreate makes a file that has no name', () => {
    const fd = sys.memfdCreate('note', sys.MFD.CLOEXEC | sys.MFD.ALLOW_SEALING);
    writeSync(fd, 'text');
    expect(readFileSync(`/proc/self/fd/${fd}`, 'utf8')).toBe('text');
    expect(execFileSync('readlink', [`/proc/${process.pid}/fd/${fd}`], { encoding: 'utf8' })).toContain('memfd:note');
    sys.close(fd);
    expect(thrown(() => sys.memfdCreate('x', 0x8000_0000))).toMatchObject({ code: 'EINVAL' });
  });
});

describe('capabilities', () => {
  test('capget shows what capsh shows', () => {
    const { effective, permitted, inheritable } = sys.capget();
    const status = readFileSync('/proc/thread-self/status', 'latin1');
    const shown = (name: string) => BigInt(`0x${new RegExp(`^${name}:\\s+(\\w+)`, 'm').exec(status)?.[1]}`);
    expect([effective, permitted, inheritable]).toEqual([shown('CapEff'), shown('CapPrm'), shown('CapInh')]);
    expect(thrown(() => sys.capget(2 ** 22))).toMatchObject({ code: 'ESRCH' });
  });

  test('capset gives up what can then not be had again', () => {
    const script = `
      const all = sys.capget();
      const few = { effective: 1n << 18n, permitted: (1n << 18n) | 1n, inheritable: 0n };
      sys.capset(few);
      console.log([/CapEff:\\s+(\\w+)/.exec(shown('/proc/thread-self/status'))[1], execFileSync('capsh', ['--decode=' + (1n << 18n).toString(16)], { encoding: 'utf8' }).includes('sys_chroot'), failure(() => sys.capset(all))].join());`;
    expect(inNode(script, asRoot())).toBe('0000000000040000,true,EPERM');
  });
});

describe('confinement of a thread', () => {
  test('seccompSetModeFilter: a filter of the compiler holds', () => {
    const script = `
      const { compile } = require('../../dist/seccomp/compile.js');
      const { allow, errno } = require('../../dist/seccomp/policy.js');
      const filter = compile({ rules: [{ names: ['sethostname'], action: errno(99), why: 'test' }], otherwise: allow }, process.arch);
      const before = failure(() => sys.sethostname('x'.repeat(65)));
      sys.prctl(sys.PR.SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      console.log([sys.seccompSetModeFilter(filter), failure(() => sys.sethostname('x')), /Seccomp:\\s+(\\d)/.exec(shown('/proc/thread-self/status'))[1], failure(() => sys.seccompSetModeFilter(Buffer.alloc(8)))].join());`;
    expect(inNode(script)).toBe('0,EADDRNOTAVAIL,2,EINVAL');
  });

  test('seccompActionAvail is what the kernel lists', () => {
    const listed = readFileSync('/proc/sys/kernel/seccomp/actions_avail', 'latin1');
    expect(sys.seccompActionAvail(0x7fff0000)).toBe(listed.includes('allow'));
    expect(sys.seccompActionAvail(0x7fc00000)).toBe(listed.includes('user_notif'));
    expect(sys.seccompActionAvail(0x12340000)).toBe(false);
  });

  test('landlock: what no rule gives back is refused', () => {
    const script = `
      const { READ_FILE, READ_DIR } = sys.LANDLOCK_ACCESS_FS;
      const ruleset = sys.landlockCreateRuleset({ handledAccessFs: READ_FILE | READ_DIR, handledAccessNet: sys.LANDLOCK_ACCESS_NET.CONNECT_TCP });
      const usr = fs.openSync('/usr', 0o10000000);
      sys.landlockAddRule(ruleset, { access: READ_FILE | READ_DIR, pathFd: usr });
      sys.landlockAddRule(ruleset, { access: sys.LANDLOCK_ACCESS_NET.CONNECT_TCP, port: 443 });
      const bad = failure(() => sys.landlockAddRule(ruleset, { access: 1 << 30, pathFd: usr }));
      sys.prctl(sys.PR.SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      sys.landlockRestrictSelf(ruleset);
      console.log([bad, failure(() => fs.readFileSync('/etc/passwd')), failure(() => fs.readdirSync('/usr')), failure(() => sys.landlockRestrictSelf(0)) !== 'none'].join());`;
    expect(inNode(script)).toBe('EINVAL,EACCES,none,true');
    expect(sys.landlockAbi()).toBeGreaterThan(0);
  });
});

describe('socketIn', () => {
  test('sockets are born in the other namespace, this thread stays', async () => {
    const sandbox = await Sandbox.open();
    const net = sandbox.namespace('net');
    const owner = isRoot ? undefined : sandbox.namespace('user');
    const where = { netFd: net.fd, ...(owner ? { userFd: owner.fd } : {}) };
    const [tcp = -1, udp = -1, six = -1, abstract = -1] = sys.socketIn(where, [
      { type: 'stream', bind: { host: '127.0.0.1', port: 80 }, listen: 10 },
      { type: 'dgram', bind: { host: '127.0.0.1', port: 53 } },
      { type: 'stream', bind: { host: '::1', port: 8080 }, listen: 10 },
      { type: 'stream', bind: { abstract: 'nsjs-test' }, listen: 10 },
    ]);
    const inside = (await sandbox.spawn('cat', ['/proc/net/tcp', '/proc/net/udp', '/proc/net/tcp6', '/proc/net/unix'], { reject: false }))
      .stdout;
    const own = readFileSync('/proc/self/net/tcp', 'latin1') + readFileSync('/proc/self/net/unix', 'latin1');
    expect(own).not.toContain('nsjs-test');
    expect(inside === '' || inside.includes('0100007F:0050')).toBe(true);
    const server = createServer((connection) => connection.end('hello'));
    server.listen({ fd: tcp });
    const [client = -1] = sys.socketIn(where, [{ type: 'stream' }]);
    const socket = new Socket({ fd: client, readable: true, writable: true });
    socket.connect({ host: '127.0.0.1', port: 80 });
    const text = await new Promise((resolve) => socket.once('data', (data) => resolve(String(data))));
    expect(text).toBe('hello');
    server.close();
    socket.destroy();
    expect(thrown(() => sys.socketIn(where, [{ type: 'dgram', bind: { host: '127.0.0.1', port: 53 } }]))).toMatchObject({
      code: 'EADDRINUSE',
      syscall: 'bind',
    });
    expect(thrown(() => sys.socketIn(where, [{ type: 'stream', bind: { host: '9.9.9.9', port: 1 } }]))).toMatchObject({
      code: 'EADDRNOTAVAIL',
    });
    expect(thrown(() => sys.socketIn(where, [{ type: 'stream', bind: { host: 'name', port: 1 } }]))).toMatchObject({ code: 'EINVAL' });
    expect(thrown(() => sys.socketIn({ netFd: 0 }, []))).toMatchObject({ syscall: 'setns' });
    for (const fd of [udp, six, abstract]) sys.close(fd);
    net.close();
    owner?.close();
    await sandbox.close();
  });
});

test('what is no number, text or buffer is refused before the kernel sees it', () => {
  const anything = sys as unknown as Record<string, (...args: readonly unknown[]) => unknown>;
  const calls: readonly (readonly [string, readonly unknown[]])[] = [
    ['close', []],
    ['close', [{}]],
    ['unshare', [Number.NaN]],
    ['pidfdOpen', [1.5]],
    ['prlimit', [0, sys.RLIMIT.NOFILE, { soft: -1, hard: -1 }]],
    ['pidfdNamespace', [0, 'bogus']],
    ['clone3', [{}]],
    ['clone3', [{ exec: '/bin/true', fds: Array(65).fill(0) }]],
    ['openByHandleAt', [-100, {}]],
    ['socketIn', [{ netFd: 0 }, [{ type: 'stream', bind: { host: '127.0.0.1', port: 70_000 } }]]],
  ];
  for (const [name, args] of calls) {
    const { code } = thrown(() => anything[name]?.(...args));
    expect([name, code]).toEqual([name, expect.stringMatching(/^ERR_(INVALID_ARG_(TYPE|VALUE)|OUT_OF_RANGE)$|^EINVAL$/)]);
  }
  expect(fstatSync(0)).toBeDefined();
  expect(thrown(() => sys.clone3({ exec: '/bin/true', beforeExec: async () => {} }))).toMatchObject({ path: 'beforeExec' });
});

testIf(existsSync('/usr/bin/strace'), 'strace', 'the kernel gets the structures that the man pages show', () => {
  const script = `
    const root = sys.openat2(sys.AT.FDCWD, '/usr', { flags: 0o200000, resolve: sys.RESOLVE.NO_MAGICLINKS });
    failure(() => sys.mountSetattr(root, 'x', sys.AT.RECURSIVE, { set: sys.MOUNT_ATTR.RDONLY | sys.MOUNT_ATTR.NOSUID, propagation: sys.MS.PRIVATE }));
    failure(() => sys.moveMount(root, 'a', sys.AT.FDCWD, '/b', sys.MOVE_MOUNT.F_EMPTY_PATH));
    failure(() => sys.fsconfig(root, sys.FSCONFIG.SET_STRING, 'key', 'value'));
    sys.prlimit(0, sys.RLIMIT.CORE, { soft: 1, hard: 1 });
    failure(() => sys.mount('src', '/nonexistent', 'tmpfs', sys.MS.NOSUID | sys.MS.NODEV, 'size=1'));
    const child = sys.clone3({ exec: '/bin/true' }); sys.waitid(child.pidfd, sys.W.EXITED);`;
  const calls = 'openat2,mount_setattr,move_mount,fsconfig,prlimit64,mount,clone3';
  const folder = temporaryFolder();
  inNode(script, ['strace', '-f', '-qq', '-e', `trace=${calls}`, '-o', join(folder.path, 'trace')]);
  const trace = readFileSync(join(folder.path, 'trace'), 'utf8');
  folder.remove();
  for (const line of [
    'openat2(AT_FDCWD, "/usr", {flags=O_RDONLY|O_CLOEXEC|O_DIRECTORY, resolve=RESOLVE_NO_MAGICLINKS}, 24)',
    '"x", AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID, attr_clr=0, propagation=MS_PRIVATE',
    '"a", AT_FDCWD, "/b", MOVE_MOUNT_F_EMPTY_PATH)',
    'FSCONFIG_SET_STRING, "key", "value", 0)',
    'RLIMIT_CORE, {rlim_cur=1, rlim_max=1}',
    'mount("src", "/nonexistent", "tmpfs", MS_NOSUID|MS_NODEV, "size=1")',
    'clone3({flags=CLONE_PIDFD, pidfd=',
  ]) {
    expect(trace).toContain(line);
  }
});

test('every exported primitive has a test, and the list is printed', () => {
  const source = join(__dirname, '../../test/sys');
  const folder = existsSync(source) ? source : __dirname;
  const text = readdirSync(folder)
    .filter((name) => /\.test\.[jt]s$/.test(name))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
  const functions = Object.entries(sys).flatMap(([name, value]) => (typeof value === 'function' ? [name] : []));
  const untested = functions.filter((name) => !new RegExp(`\\b${name}\\(`).test(text) && !new RegExp(`\\.${name}\\)\\(`).test(text));
  process.stderr.write(
    `nsjs/sys: ${functions.length} primitives, tested: ${functions.filter((name) => !untested.includes(name)).join(' ')}\n`,
  );
  expect(untested).toEqual([]);
});
