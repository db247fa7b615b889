import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Namespace, type NamespaceType, namespaceTypes, PidFd, Sandbox, spawnIsolated } from 'nsjs';
import { nsId } from 'nsjs/sys';
import { isRoot, rejection, thrown } from '../../support';
import { keepersGone, ownChildren } from '../../support/processes';
import { eventually } from '../../support/until';
import { inodeOf } from './inode';

describe('open', () => {
  test.each(namespaceTypes)('%s: a namespace can be opened by pid, PidFd, path, URL and Namespace', (type) => {
    using self = Namespace.open('self', type);
    using process_ = PidFd.open(process.pid);
    const targets = [process.pid, process_, `/proc/self/ns/${type}`, new URL(`file:///proc/self/ns/${type}`), self] as const;
    for (const target of targets) {
      using other = Namespace.open(target, type);
      expect([other.type, other.inode, other.equals(self)]).toEqual([type, inodeOf(type), true]);
    }
  });

  test('a target that is not a namespace or has another type is refused', () => {
    expect(thrown(() => Namespace.open('self', 'nonsense' as NamespaceType))).toMatchObject({ path: 'type' });
    expect(thrown(() => Namespace.open('/proc/self/ns/uts', 'net'))).toMatchObject({
      path: 'target',
      message: "target: is a namespace of type 'uts', not 'net'",
    });
    expect(thrown(() => Namespace.open('/etc/passwd', 'net'))).toMatchObject({ path: 'target', message: 'target: is not a namespace' });
    expect(thrown(() => Namespace.open('/nonexistent', 'net'))).toMatchObject({ code: 'ENOENT', path: '/nonexistent' });
    expect(thrown(() => Namespace.open(2 ** 22, 'net')).code).toMatch(/ESRCH|EINVAL/);
    expect(thrown(() => Namespace.open('relative', 'net'))).toMatchObject({ path: 'target' });
    for (const target of [undefined, null, {}, { type: 'net', inode: 1, bootId: 'x', handle: 5 }]) {
      expect(thrown(() => Namespace.open(target as unknown as string, 'net')).path).toMatch(/^target/);
    }
    using own = Namespace.open('self', 'net');
    expect(thrown(() => Namespace.reopen({ ...own.toJSON(), inode: 1 }))).toMatchObject({ code: 'ESTALE' });
  });

  test('a closed namespace throws ERR_NSJS_CLOSED', () => {
    const ns = Namespace.open('self', 'uts');
    ns.close();
    ns.close();
    for (const act of [() => ns.fd, () => ns.run(() => 0), () => ns.inspect(), () => ns.owner(), () => ns.toJSON()]) {
      expect(thrown(act)).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    }
    expect(thrown(() => ns.spawn('true'))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  test('a PidFd whose pid has been reused does not lead to the new process', async () => {
    const child = spawn('sleep', ['100'], { stdio: 'ignore' });
    using held = PidFd.open(child.pid ?? 0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(held.alive).toBe(false);
    // Root can start a process with exactly that pid. Otherwise no process has it, which must not match either.
    const reused = isRoot ? spawnWithPid(child.pid ?? 0) : undefined;
    expect(thrown(() => Namespace.open(held, 'net'))).toMatchObject({ code: 'ESRCH' });
    expect(thrown(() => held.kill(0))).toMatchObject({ code: 'ESRCH' });
    reused?.();
  });
});

function spawnWithPid(pid: number): () => void {
  const { clone3, waitid, W, close, pidfdSendSignal } = require('nsjs/sys') as typeof import('nsjs/sys');
  const made = clone3({ exec: '/bin/sleep', argv: ['sleep', '100'], setTid: [pid] });
  expect(made.pid).toBe(pid);
  return () => {
    pidfdSendSignal(made.pidfd, 9);
    waitid(made.pidfd, W.EXITED);
    close(made.pidfd);
  };
}

describe('create', () => {
  test.each(namespaceTypes.filter((type) => type !== 'user'))('%s: a new namespace lives until its descriptor is closed', async (type) => {
    const ns = await Namespace.create(type);
    expect(ns.inode).not.toBe(inodeOf(type));
    const owner = ns.owner();
    using self = Namespace.open('self', 'user');
    expect(owner.equals(self) === isRoot).toBe(true);
    owner.close();
    const reference = ns.toJSON();
    {
      using again = Namespace.reopen(reference);
      expect(again.equals(ns)).toBe(true);
    }
    await ns[Symbol.asyncDispose]();
    await eventually(() => expect(thrown(() => Namespace.reopen(reference).close())).toMatchObject({ code: 'ESTALE' }));
  });

  test('several namespaces are created together, and a program runs in all of them', async () => {
    await using set = await Namespace.create(['net', 'uts', 'ipc'], { hostname: 'made' });
    expect([...set].map(({ type }) => type).sort()).toEqual([...(isRoot ? [] : ['user']), 'ipc', 'net', 'uts'].sort());
    const script = 'uname -n; readlink /proc/self/ns/net /proc/self/ns/uts /proc/self/ns/ipc';
    const { stdout } = await set.spawn('/bin/sh', ['-c', script]);
    expect(stdout).toBe(['made', ...(['net', 'uts', 'ipc'] as const).map((type) => `${type}:[${set.get(type).inode}]`)].join('\n'));
    expect(thrown(() => set.get('time'))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
  });

  test('a pid namespace has a process that keeps it alive until it is disposed of', async () => {
    const ns = await Namespace.create('pid');
    expect(ownChildren().length).toBeGreaterThan(0);
    await ns[Symbol.asyncDispose]();
    await keepersGone();
    expect(ownChildren()).toEqual([]);
  });

  test('a confined program runs in a namespace of each type', async () => {
    for (const type of namespaceTypes) {
      const ns = await Namespace.create(type);
      const { stdout } = await ns.spawn('/bin/sh', [
        '-c',
        `readlink /proc/self/ns/${type}; grep -E "CapEff|NoNewPrivs|Seccomp:" /proc/self/status`,
      ]);
      const [link, ...confined] = stdout.split('\n');
      if (type !== 'user') expect(link).toBe(`${type}:[${ns.inode}]`);
      expect([type, confined]).toEqual([type, ['CapEff:\t0000000000000000', 'NoNewPrivs:\t1', 'Seccomp:\t2']]);
      await ns[Symbol.asyncDispose]();
    }
  });

  test('bad input is refused', async () => {
    expect(await rejection(Namespace.create([]))).toMatchObject({ path: 'types' });
    expect(await rejection(Namespace.create(['net', 'net']))).toMatchObject({ path: 'types' });
    expect(await rejection(Namespace.create('net', { signal: 5 as unknown as AbortSignal }))).toMatchObject({ path: 'signal' });
    expect(await rejection(Namespace.create('nonsense' as NamespaceType))).toMatchObject({ path: 'types[0]' });
    expect(await rejection(Namespace.create('uts', { hostname: '' }))).toMatchObject({ path: 'hostname' });
    expect(await rejection(Namespace.create('uts', { signal: AbortSignal.abort() }))).toMatchObject({ code: 'ABORT_ERR' });
  });
});

describe('inspect', () => {
  test('inspect() returns type, inode, owner, parent, members and id maps', async () => {
    const running = spawnIsolated('sleep', ['100'], { reject: false });
    await running.spawned;
    const { namespaces } = running.report ?? { namespaces: { user: 0 } };
    using user = Namespace.open(running.pid ?? 0, 'user');
    const info = user.inspect();
    expect(info).toMatchObject({ type: 'user', inode: namespaces.user, members: [running.pid] });
    expect(info.parent).toBe(info.owner);
    expect(info.uidMap).toEqual([{ inside: expect.any(Number), outside: expect.any(Number), count: 1 }]);
    using parent = user.parent();
    // If root runs nsjs, the namespace belongs to the host id of the sandbox, so that resources that the kernel counts
    // per user are not charged to root.
    expect(parent?.inspect().ownerUid).toBe(isRoot ? info.uidMap?.[0]?.outside : process.geteuid?.());
    using uts = Namespace.open(running.pid ?? 0, 'uts');
    expect(uts.parent()).toBeNull();
    expect(uts.inspect().owner).toBe(parent?.inode);
    expect(uts.id).toBe(nsId(uts.fd));
    await running.stop(0);
  });

  test('a sandbox returns each of its namespaces and translates pids in both directions', async () => {
    const sandbox = await Sandbox.open();
    const running = sandbox.spawn('sleep', ['100'], { reject: false });
    await running.spawned;
    for (const type of namespaceTypes) {
      using ns = sandbox.namespace(type);
      expect(ns.inode).toBe(sandbox.report.namespaces[type]);
      if (type !== 'user' && type !== 'time') expect(ns.inode).toBe(inodeOf(type, running.pid ?? 0));
    }
    const inside = Number(/^NSpid:.*\s(\d+)$/m.exec(readFileSync(`/proc/${running.pid}/status`, 'latin1'))?.[1]);
    expect([sandbox.pids.outside(inside), sandbox.pids.inside(running.pid ?? 0)]).toEqual([running.pid, inside]);
    expect([sandbox.pids.outside(9999), sandbox.pids.inside(process.pid)]).toEqual([undefined, undefined]);
    await sandbox.close();
    expect(thrown(() => sandbox.namespace('net'))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    expect(thrown(() => sandbox.pids)).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });
});
