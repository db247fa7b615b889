import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import {
  CLONE,
  close,
  nsId,
  nsMntnsId,
  nsMountCount,
  nsOwnerUid,
  nsParent,
  nsType,
  nsUserns,
  pidFromPidns,
  pidfdNamespace,
  pidfdOpen,
  pidInPidns,
  setdomainname,
  sethostname,
  setns,
  unshare,
} from 'nsjs/sys';
import { isRoot, sleep, testIf, thrown } from '../../support';
import { asRoot, hasPrimitive, inNode } from './run';

test('unshare, sethostname and setdomainname affect only the calling thread', () => {
  const script = `
    const before = fs.readlinkSync('/proc/thread-self/ns/uts');
    sys.unshare(sys.CLONE.NEWUTS);
    sys.sethostname('inside'); sys.setdomainname('dom');
    const { Worker } = require('node:worker_threads');
    const other = await new Promise((resolve) => new Worker("require('worker_threads').parentPort.postMessage(require('fs').readlinkSync('/proc/thread-self/ns/uts'))", { eval: true }).once('message', resolve));
    console.log([execFileSync('uname', ['-n']), fs.readlinkSync('/proc/thread-self/ns/uts') === before, shown('/proc/sys/kernel/domainname').trim(), other === before].join());`;
  // A new thread starts in the namespaces of the thread that creates it.
  expect(inNode(script, asRoot())).toBe('inside\n,false,dom,false');
});

test('setns enters a namespace and returns, and refuses one of another type', () => {
  const script = `
    const home = fs.openSync('/proc/thread-self/ns/net', 'r');
    const inode = () => fs.readlinkSync('/proc/thread-self/ns/net');
    const before = inode();
    sys.unshare(sys.CLONE.NEWNET);
    const away = inode();
    const wrong = failure(() => sys.setns(home, sys.CLONE.NEWUTS));
    sys.setns(home, sys.CLONE.NEWNET);
    console.log([before !== away, inode() === before, wrong].join());`;
  expect(inNode(script, asRoot('n'))).toBe('true,true,EINVAL');
});

test('operations that a thread of Node cannot do throw the error of the kernel', () => {
  expect(thrown(() => unshare(CLONE.NEWUSER))).toMatchObject({ code: 'EINVAL', syscall: 'unshare', errno: -22 });
  expect(thrown(() => setns(0, 0))).toMatchObject({ code: 'EINVAL', syscall: 'setns' });
  const long = 'x'.repeat(65);
  for (const set of [sethostname, setdomainname]) expect(thrown(() => set(long)).code).toBe(isRoot ? 'EINVAL' : 'EPERM');
});

describe('ioctl_ns', () => {
  const open = (type: string, pid: number | 'self' = 'self') => statSync(`/proc/${pid}/ns/${type}`).ino;
  let fd: number;
  beforeEach(() => {
    const self = pidfdOpen(process.pid);
    fd = pidfdNamespace(self, 'mnt');
    close(self);
  });
  afterEach(() => close(fd));

  test('type, owner and uid of the owner are returned', () => {
    expect(nsType(fd)).toBe(CLONE.NEWNS);
    const owner = nsUserns(fd);
    expect(statSync(`/proc/self/fd/${owner}`).ino).toBe(open('user'));
    expect(nsOwnerUid(owner)).toBe(0);
    expect(thrown(() => nsOwnerUid(fd))).toMatchObject({ code: 'EINVAL', syscall: 'ioctl NS_GET_OWNER_UID' });
    expect(thrown(() => nsParent(fd))).toMatchObject({ code: 'EINVAL' });
    expect(thrown(() => nsParent(owner))).toMatchObject({ code: 'EPERM' });
    close(owner);
    expect(thrown(() => nsType(0))).toMatchObject({ code: 'ENOTTY' });
  });

  test('the parent of a new user namespace is that of its creator', () => {
    const script = `
      const self = sys.pidfdOpen(process.pid); const own = sys.pidfdNamespace(self, 'user');
      const child = sys.clone3({ flags: sys.CLONE.NEWUSER, exec: '/bin/sleep', argv: ['sleep', '100'] });
      const inner = sys.pidfdNamespace(child.pidfd, 'user');
      const parent = sys.nsParent(inner);
      console.log([fs.fstatSync(parent).ino === fs.fstatSync(own).ino, sys.nsOwnerUid(inner) === process.geteuid()].join());
      sys.pidfdSendSignal(child.pidfd, 9); sys.waitid(child.pidfd, sys.W.EXITED);`;
    expect(inNode(script)).toBe('true,true');
  });

  testIf(hasPrimitive('NS_GET_ID'), 'NS_GET_ID', 'ids are the same for the same namespace', () => {
    const twice = pidfdNamespace(pidfdOpen(process.pid), 'mnt');
    expect(nsId(twice)).toBe(nsId(fd));
    expect(nsId(fd)).toBeGreaterThan(0n);
    close(twice);
  });

  testIf(hasPrimitive('NS_MNT_GET_INFO'), 'NS_MNT_GET_INFO', 'mounts are counted', () => {
    expect(nsMntnsId(fd)).toBeGreaterThan(0n);
    // Mounts that are not below the root directory are missing from mountinfo.
    const shown = readFileSync('/proc/self/mountinfo', 'latin1').trim().split('\n').length;
    expect(nsMountCount(fd)).toBeGreaterThanOrEqual(shown);
    const script = `const count = () => sys.nsMountCount(fs.openSync('/proc/self/ns/mnt'));
      const before = count(); sys.mount('none', '/mnt', 'tmpfs'); console.log(count() - before);`;
    expect(inNode(script, asRoot('m'))).toBe('1');
  });

  test('pids are translated as NSpid in /proc shows them', async () => {
    const child = spawn('unshare', ['-Urpf', '--kill-child', 'sleep', '100'], { stdio: 'ignore' });
    let inner = 0;
    for (let tries = 0; tries < 100 && inner === 0; tries++) {
      await sleep(10);
      inner = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'latin1').trim());
    }
    const pidfd = pidfdOpen(inner);
    const pidns = pidfdNamespace(pidfd, 'pid');
    const [, outside, inside] = /^NSpid:\s+(\d+)\s+(\d+)/m.exec(readFileSync(`/proc/${inner}/status`, 'latin1')) ?? [];
    expect([pidFromPidns(pidns, Number(inside)), pidInPidns(pidns, inner)]).toEqual([Number(outside), 1]);
    expect(thrown(() => pidFromPidns(pidns, 77))).toMatchObject({ code: 'ESRCH' });
    for (const one of [pidfd, pidns]) close(one);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
  });
});

testIf(isRoot, 'root', 'setns does what nsenter does', () => {
  const script = `
    const child = sys.clone3({ flags: sys.CLONE.NEWNET, exec: '/bin/sleep', argv: ['sleep', '100'] });
    const shown = execFileSync('nsenter', ['-t', String(child.pid), '-n', 'readlink', '/proc/self/ns/net'], { encoding: 'utf8' }).trim();
    sys.setns(child.pidfd, sys.CLONE.NEWNET);
    console.log(fs.readlinkSync('/proc/thread-self/ns/net') === shown);
    sys.pidfdSendSignal(child.pidfd, 9); sys.waitid(child.pidfd, sys.W.EXITED);`;
  expect(inNode(script)).toBe('true');
});
