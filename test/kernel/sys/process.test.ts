import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmdirSync, statSync } from 'node:fs';
import {
  CLONE,
  clone3,
  close,
  getrlimit,
  PR,
  pidfdGetfd,
  pidfdInfo,
  pidfdNamespace,
  pidfdOpen,
  pidfdSendSignal,
  prctl,
  prlimit,
  RLIMIT,
  W,
  waitid,
  waitidAsync,
} from 'nsjs/sys';
import { isRoot, sleep, testIf, thrown } from '../../support';
import { ownChildren } from '../../support/processes';
import { hasPrimitive, inNode } from './run';

let child: ChildProcess;
let pidfd: number;
beforeEach(() => {
  child = spawn('sleep', ['100'], { stdio: 'ignore' });
  pidfd = pidfdOpen(child.pid ?? 0);
});
afterEach(async () => {
  close(pidfd);
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
  }
});

const sh = (line: string) => ({ exec: '/bin/sh', argv: ['sh', '-c', line] });

describe('clone3', () => {
  test('executes a program in new namespaces, with id maps that are written before it runs', () => {
    const script = `
      const child = sys.clone3({
        flags: sys.CLONE.NEWUSER | sys.CLONE.NEWUTS, exec: '/bin/sh', argv: ['sh', '-c', 'id -u; readlink /proc/self/ns/uts; echo "$A"; ls /proc/self/fd | tr "\\n" " "; echo; exit 7'],
        env: ['A=b', 'PATH=/usr/bin:/bin'], fds: [-1, 1, 2],
        beforeExec: ({ pid }) => { fs.writeFileSync('/proc/' + pid + '/setgroups', 'deny'); fs.writeFileSync('/proc/' + pid + '/uid_map', '0 ' + process.geteuid() + ' 1'); },
      });
      console.log(JSON.stringify(sys.waitid(child.pidfd, sys.W.EXITED)));`;
    const [uid, uts, env, fds, status] = inNode(script).split('\n');
    expect([uid, env, JSON.parse(status ?? '')]).toEqual(['0', 'b', expect.objectContaining({ code: 1, status: 7 })]);
    expect(uts).not.toBe(readlinkSync('/proc/self/ns/uts'));
    expect(fds?.trim().split(' ')).toHaveLength(3);
  });

  test('errors of execve and of beforeExec are thrown and leave no child behind', () => {
    const before = ownChildren().length;
    expect(thrown(() => clone3({ exec: '/nonexistent' }))).toMatchObject({ code: 'ENOENT', syscall: 'execve', path: '/nonexistent' });
    const refuse = () => {
      throw new Error('no');
    };
    expect(thrown(() => clone3({ ...sh('true'), beforeExec: refuse })).message).toBe('no');
    expect(thrown(() => clone3({ ...sh('true'), flags: 0x100 }))).toMatchObject({ code: 'EINVAL' });
    expect(thrown(() => clone3({ ...sh('true'), flags: CLONE.INTO_CGROUP, cgroup: 0 })).code).toMatch(/EBADF|EINVAL/);
    expect(ownChildren()).toHaveLength(before);
  });

  testIf(isRoot, 'root', 'starts a process with a given pid, or in a given cgroup', () => {
    const free = 30_123;
    const made = clone3({ ...sh('exit 0'), setTid: [free] });
    expect(made.pid).toBe(free);
    waitid(made.pidfd, W.EXITED);
    close(made.pidfd);
    const root = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((path) => existsSync(`${path}/cgroup.procs`));
    const directory = `${root}/nsjs-test-${process.pid}`;
    mkdirSync(directory);
    const script = `
      const directory = fs.openSync(${JSON.stringify(directory)}, 'r');
      const child = sys.clone3({ flags: sys.CLONE.INTO_CGROUP, cgroup: directory, exec: '/bin/cat', argv: ['cat', '/proc/self/cgroup'] });
      sys.waitid(child.pidfd, sys.W.EXITED);`;
    expect(inNode(script)).toContain(`/nsjs-test-${process.pid}`);
    rmdirSync(directory);
  });
});

describe('pidfds', () => {
  test('pidfdSendSignal reaches the process of the pidfd and fails once it has ended', async () => {
    pidfdSendSignal(pidfd, 15);
    expect(await new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))).toBe('SIGTERM');
    expect(thrown(() => pidfdSendSignal(pidfd, 0))).toMatchObject({ code: 'ESRCH', syscall: 'pidfd_send_signal' });
    expect(thrown(() => pidfdOpen(2 ** 22))).toMatchObject({ code: expect.stringMatching(/ESRCH|EINVAL/) });
  });

  test('pidfdGetfd duplicates a descriptor of another process', async () => {
    await sleep(50);
    const copy = pidfdGetfd(pidfd, 0);
    expect(readlinkSync(`/proc/self/fd/${copy}`)).toBe('/dev/null');
    close(copy);
    expect(thrown(() => pidfdGetfd(pidfd, 999))).toMatchObject({ code: 'EBADF' });
  });

  testIf(
    hasPrimitive('PIDFD_GET_INFO'),
    'PIDFD_GET_INFO',
    'pidfdInfo returns the values that /proc shows, and the exit status after the exit',
    async () => {
      const status = readFileSync(`/proc/${child.pid}/status`, 'latin1');
      const [, ruid, euid] = /^Uid:\s+(\d+)\s+(\d+)/m.exec(status) ?? [];
      expect(pidfdInfo(pidfd)).toMatchObject({ pid: child.pid, ppid: process.pid, ruid: Number(ruid), euid: Number(euid) });
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('exit', resolve));
      expect(pidfdInfo(pidfd).exitCode).toBe(9);
    },
  );

  test.each(['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts'] as const)(
    'pidfdNamespace opens the %s namespace of the process',
    (type) => {
      const fd = pidfdNamespace(pidfd, type);
      expect(statSync(`/proc/self/fd/${fd}`).ino).toBe(statSync(`/proc/${child.pid}/ns/${type}`).ino);
      close(fd);
    },
  );
});

describe('waiting', () => {
  test('waitid returns the status of a child once, and null while it runs', () => {
    const made = clone3(sh('exec sleep 100'));
    expect(waitid(made.pidfd, W.EXITED | W.NOHANG)).toBeNull();
    pidfdSendSignal(made.pidfd, 9);
    expect(waitid(made.pidfd, W.EXITED)).toEqual({ pid: made.pid, code: 2, status: 9 });
    expect(thrown(() => waitid(made.pidfd, W.EXITED))).toMatchObject({ code: 'ECHILD' });
    close(made.pidfd);
  });

  test('waitidAsync does not block the event loop', async () => {
    const made = clone3(sh('sleep 0.2; exit 5'));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 10);
    expect(await waitidAsync(made.pidfd, W.EXITED)).toEqual({ pid: made.pid, code: 1, status: 5 });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(3);
    close(made.pidfd);
    const waiting = waitidAsync(made.pidfd, W.EXITED);
    await expect(waiting).rejects.toMatchObject({ code: 'EBADF' });
  });
});

test('prctl returns the values that /proc shows', () => {
  const bounding = BigInt(`0x${/^CapBnd:\s+(\w+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]}`);
  for (const bit of [0, 6, 21, 40]) expect(prctl(PR.CAPBSET_READ, bit)).toBe(Number((bounding >> BigInt(bit)) & 1n));
  expect(prctl(PR.GET_NO_NEW_PRIVS, 0, 0, 0, 0)).toBe(
    Number(/^NoNewPrivs:\s+(\d)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]),
  );
  expect(thrown(() => prctl(9999))).toMatchObject({ code: 'EINVAL', syscall: 'prctl' });
});

test('getrlimit and prlimit agree with prlimit(1), and prlimit sets new limits', () => {
  const shown = execFileSync('prlimit', ['-p', `${child.pid}`, '--nofile', '--raw', '--noheadings', '-o', 'SOFT,HARD'], {
    encoding: 'utf8',
  });
  const [soft, hard] = shown.trim().split(/\s+/).map(Number);
  expect(prlimit(child.pid ?? 0, RLIMIT.NOFILE, { soft: 100, hard: hard ?? 0 })).toEqual({ soft, hard });
  expect(prlimit(child.pid ?? 0, RLIMIT.NOFILE)).toEqual({ soft: 100, hard });
  expect(getrlimit(RLIMIT.CPU)).toEqual({ soft: Number.POSITIVE_INFINITY, hard: Number.POSITIVE_INFINITY });
  expect(thrown(() => getrlimit(99))).toMatchObject({ code: 'EINVAL' });
});
