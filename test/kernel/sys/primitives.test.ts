import { constants, existsSync, fstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as sys from 'nsjs/sys';
import { temporaryDirectory, testIf, thrown } from '../../support';
import { inNode } from './run';

test('arguments of the wrong type or range are refused before the system call', () => {
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

testIf(existsSync('/usr/bin/strace'), 'strace', 'the kernel gets the structures that the man pages describe', () => {
  const script = `
    const root = sys.openat2(sys.AT.FDCWD, '/usr', { flags: ${constants.O_DIRECTORY}, resolve: sys.RESOLVE.NO_MAGICLINKS });
    failure(() => sys.mountSetattr(root, 'x', sys.AT.RECURSIVE, { set: sys.MOUNT_ATTR.RDONLY | sys.MOUNT_ATTR.NOSUID, propagation: sys.MS.PRIVATE }));
    failure(() => sys.moveMount(root, 'a', sys.AT.FDCWD, '/b', sys.MOVE_MOUNT.F_EMPTY_PATH));
    failure(() => sys.fsconfig(root, sys.FSCONFIG.SET_STRING, 'key', 'value'));
    sys.prlimit(0, sys.RLIMIT.CORE, { soft: 1, hard: 1 });
    failure(() => sys.mount('src', '/nonexistent', 'tmpfs', sys.MS.NOSUID | sys.MS.NODEV, 'size=1'));
    const child = sys.clone3({ exec: '/bin/true' }); sys.waitid(child.pidfd, sys.W.EXITED);`;
  const calls = 'openat2,mount_setattr,move_mount,fsconfig,prlimit64,mount,clone3';
  const directory = temporaryDirectory();
  inNode(script, ['strace', '-f', '-qq', '-e', `trace=${calls}`, '-o', join(directory.path, 'trace')]);
  const trace = readFileSync(join(directory.path, 'trace'), 'utf8');
  directory.remove();
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
  const source = join(__dirname, '../../../test/kernel/sys');
  const directory = existsSync(source) ? source : __dirname;
  const text = readdirSync(directory)
    .filter((name) => /\.test\.[jt]s$/.test(name))
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('\n');
  const functions = Object.entries(sys).flatMap(([name, value]) => (typeof value === 'function' ? [name] : []));
  const untested = functions.filter((name) => !new RegExp(`\\b${name}\\(`).test(text) && !new RegExp(`\\.${name}\\)\\(`).test(text));
  process.stderr.write(
    `nsjs/sys: ${functions.length} primitives, tested: ${functions.filter((name) => !untested.includes(name)).join(' ')}\n`,
  );
  expect(untested).toEqual([]);
});
