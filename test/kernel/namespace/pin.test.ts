import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Namespace } from 'nsjs';
import { isRoot, temporaryDirectory, testIf, thrown } from '../../support';
import { inodeOf } from './inode';

describe('run', () => {
  testIf(isRoot, 'root', 'this thread is in the namespace while the function runs and returns even if it throws', async () => {
    await using ns = await Namespace.create('uts', { hostname: 'elsewhere' });
    const before = hostname();
    expect(ns.run(() => hostname())).toBe('elsewhere');
    expect(
      thrown(() =>
        ns.run(() => {
          throw new Error('out');
        }),
      ).message,
    ).toBe('out');
    expect(thrown(() => ns.run(async () => 1))).toMatchObject({ path: 'act' });
    expect(hostname()).toBe(before);
    await using net = await Namespace.create('net');
    expect(net.run(() => readlinkSync('/proc/thread-self/ns/net'))).toBe(`net:[${net.inode}]`);
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(`net:[${inodeOf('net')}]`);
  });

  test('a namespace that a thread of Node cannot enter is refused with the alternatives', async () => {
    await using mnt = await Namespace.create('mnt');
    expect(thrown(() => mnt.run(() => 0))).toMatchObject({ code: 'ERR_NSJS_THREAD', hint: expect.stringContaining('spawn()') });
    if (isRoot) return;
    await using net = await Namespace.create('net');
    expect(thrown(() => net.run(() => 0))).toMatchObject({
      code: 'ERR_NSJS_THREAD',
      hint: expect.stringMatching(/spawn\(\).*net\.listen/),
    });
  });
});

describe('pin', () => {
  testIf(isRoot, 'root', 'a pinned namespace outlives the process that created it and can be opened by its path', () => {
    const directory = temporaryDirectory();
    const path = join(directory.path, 'pinned');
    const script = `const { Namespace } = require('nsjs'); Namespace.create('uts', { hostname: 'pinned' }).then((ns) => { ns.pin(${JSON.stringify(path)}); console.log(JSON.stringify(ns)); process.exit(); })`;
    const reference = JSON.parse(execFileSync(process.execPath, ['-e', script], { cwd: __dirname, encoding: 'utf8' }));
    const shown = execFileSync('nsenter', [`--uts=${path}`, 'uname', '-n'], { encoding: 'utf8' }).trim();
    {
      using ns = Namespace.open(path, 'uts');
      using again = Namespace.reopen(reference);
      expect([shown, ns.run(() => hostname()), ns.equals(again)]).toEqual(['pinned', 'pinned', true]);
      expect(thrown(() => ns.pin(path))).toMatchObject({ path: 'path' });
    }
    expect(thrown(() => Namespace.open(path, 'net'))).toMatchObject({ path: 'target' });
    Namespace.unpin(path);
    expect(existsSync(path)).toBe(false);
    expect(thrown(() => Namespace.reopen(reference).close())).toMatchObject({ code: 'ESTALE' });
    directory.remove();
  });

  test('pinning without privileges or at an unusable path fails and leaves nothing', async () => {
    const directory = temporaryDirectory();
    await using ns = await Namespace.create('uts');
    mkdirSync(join(directory.path, 'full'));
    writeFileSync(join(directory.path, 'full/file'), '');
    expect(thrown(() => ns.pin(join(directory.path, 'full/file')))).toMatchObject({ path: 'path' });
    expect(thrown(() => ns.pin(join(directory.path, 'missing/file')))).toMatchObject({ code: 'ENOENT', origin: 'pin' });
    if (!isRoot) {
      expect(thrown(() => ns.pin(join(directory.path, 'pinned')))).toMatchObject({
        code: 'EPERM',
        hint: expect.stringContaining('CAP_SYS_ADMIN'),
      });
      expect(existsSync(join(directory.path, 'pinned'))).toBe(false);
    }
    expect(thrown(() => Namespace.unpin('/nonexistent')).code).toMatch(/ENOENT|EPERM/);
    directory.remove();
  });

  test('a reference from before a reboot or of a process that has ended is stale', () => {
    using ns = Namespace.open('self', 'net');
    expect(thrown(() => Namespace.reopen({ ...ns.toJSON(), bootId: 'another' }))).toMatchObject({
      code: 'ESTALE',
      hint: expect.stringContaining('rebooted'),
    });
    const { handle: _, ...rest } = ns.toJSON();
    expect(thrown(() => Namespace.reopen({ ...rest, pid: process.pid, startTime: 1 }))).toMatchObject({ code: 'ESTALE' });
    const startTime = Number(readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ')[19]);
    using byProcess = Namespace.reopen({ ...rest, pid: process.pid, startTime });
    expect(byProcess.equals(ns)).toBe(true);
    expect(thrown(() => Namespace.open({ ...ns.toJSON() }, 'uts'))).toMatchObject({ path: 'target' });
  });
});
