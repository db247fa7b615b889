import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import * as sys from 'nsjs/sys';
import { temporaryDirectory, testIf, thrown } from '../../support';
import { hasPrimitive, inNode } from './run';

describe('files', () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  beforeEach(() => {
    directory = temporaryDirectory();
  });
  afterEach(() => directory.remove());

  test('openat2 obeys its resolve flags, and openat2Async creates a file', async () => {
    const root = openSync(directory.path, 'r');
    mkdirSync(join(directory.path, 'etc'));
    writeFileSync(join(directory.path, 'etc/hostname'), 'own');
    symlinkSync('/etc/hostname', join(directory.path, 'link'));
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

  test('opening a FIFO without a writer does not block the event loop', async () => {
    execFileSync('mkfifo', [join(directory.path, 'fifo')]);
    const opening = sys.openat2Async(sys.AT.FDCWD, join(directory.path, 'fifo'), { flags: constants.O_RDONLY });
    const writer = openSync(join(directory.path, 'fifo'), constants.O_RDWR);
    closeSync(await opening);
    closeSync(writer);
  });

  // Both file systems have handles since the version that has this ioctl(2).
  testIf(
    hasPrimitive('NS_GET_ID'),
    'Linux 6.18',
    'openByHandleAt opens a live namespace or process by a handle of nameToHandleAt',
    async () => {
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
    },
  );

  test('closeRange closes a range of descriptors or marks it close-on-exec, dup duplicates', () => {
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

  test('memfdCreate creates an anonymous file', () => {
    const fd = sys.memfdCreate('note', sys.MFD.CLOEXEC | sys.MFD.ALLOW_SEALING);
    writeSync(fd, 'text');
    expect(readFileSync(`/proc/self/fd/${fd}`, 'utf8')).toBe('text');
    expect(execFileSync('readlink', [`/proc/${process.pid}/fd/${fd}`], { encoding: 'utf8' })).toContain('memfd:note');
    sys.close(fd);
    expect(thrown(() => sys.memfdCreate('x', 0x8000_0000))).toMatchObject({ code: 'EINVAL' });
  });
});
