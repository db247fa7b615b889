import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer, get, request } from 'node:http';
import { createConnection, type Server } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { explain, Fd, Namespace, type NamespaceType, namespaceTypes, PidFd, Sandbox, spawnIsolated } from 'nsjs';
import { nsId } from 'nsjs/sys';
import { keepersGone, openDescriptors, ownChildren } from '../leaks/processes';
import { isRoot, rejection, sh, sleep, temporaryFolder, testIf, thrown } from '../support';

const inodeOf = (type: NamespaceType, pid: number | 'self' = 'self') =>
  Number(/\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/${type}`))?.[1]);

describe('open', () => {
  test.each(namespaceTypes)('%s: of this process, by number, by PidFd, by path, by descriptor', (type) => {
    using self = Namespace.open('self', type);
    using process_ = PidFd.open(process.pid);
    const targets = [process.pid, process_, `/proc/self/ns/${type}`, new URL(`file:///proc/self/ns/${type}`), self] as const;
    for (const target of targets) {
      using other = Namespace.open(target, type);
      expect([other.type, other.inode, other.equals(self)]).toEqual([type, inodeOf(type), true]);
    }
  });

  test('what is none, or of another type, is refused', () => {
    expect(thrown(() => Namespace.open('self', 'nonsense' as NamespaceType))).toMatchObject({ path: 'type' });
    expect(thrown(() => Namespace.open('/proc/self/ns/uts', 'net'))).toMatchObject({
      path: 'target',
      message: "target: is a namespace of type 'uts', not 'net'",
    });
    expect(thrown(() => Namespace.open('/etc/passwd', 'net'))).toMatchObject({ path: 'target', message: 'target: is no namespace' });
    expect(thrown(() => Namespace.open('/nonexistent', 'net'))).toMatchObject({ code: 'ENOENT', path: '/nonexistent' });
    expect(thrown(() => Namespace.open(2 ** 22, 'net')).code).toMatch(/ESRCH|EINVAL/);
    expect(thrown(() => Namespace.open('relative', 'net'))).toMatchObject({ path: 'target' });
    for (const target of [undefined, null, {}, { type: 'net', inode: 1, bootId: 'x', handle: 5 }]) {
      expect(thrown(() => Namespace.open(target as unknown as string, 'net')).path).toMatch(/^target/);
    }
    using own = Namespace.open('self', 'net');
    expect(thrown(() => Namespace.reopen({ ...own.toJSON(), inode: 1 }))).toMatchObject({ code: 'ESTALE' });
  });

  test('closed, it says so', () => {
    const ns = Namespace.open('self', 'uts');
    ns.close();
    ns.close();
    for (const act of [() => ns.fd, () => ns.run(() => 0), () => ns.inspect(), () => ns.owner(), () => ns.toJSON()]) {
      expect(thrown(act)).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    }
    expect(thrown(() => ns.spawn('true'))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  test('a process number that was given to another process meanwhile does not lead there', async () => {
    const child = spawn('sleep', ['100'], { stdio: 'ignore' });
    using held = PidFd.open(child.pid ?? 0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(held.alive).toBe(false);
    // A process with the very number, where that can be had; otherwise none, which must be no match either.
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
  test.each(namespaceTypes.filter((type) => type !== 'user'))('%s: a new one, alive by its descriptor, gone with it', async (type) => {
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

  test('several at once; programs run in all of them', async () => {
    await using set = await Namespace.create(['net', 'uts', 'ipc'], { hostname: 'made' });
    expect([...set].map(({ type }) => type).sort()).toEqual([...(isRoot ? [] : ['user']), 'ipc', 'net', 'uts'].sort());
    const script = 'uname -n; readlink /proc/self/ns/net /proc/self/ns/uts /proc/self/ns/ipc';
    const { stdout } = await set.spawn('/bin/sh', ['-c', script]);
    expect(stdout).toBe(['made', ...(['net', 'uts', 'ipc'] as const).map((type) => `${type}:[${set.get(type).inode}]`)].join('\n'));
    expect(thrown(() => set.get('time'))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
  });

  test('a pid namespace is held until it is let go', async () => {
    const ns = await Namespace.create('pid');
    expect(ownChildren().length).toBeGreaterThan(0);
    await ns[Symbol.asyncDispose]();
    await keepersGone();
    expect(ownChildren()).toEqual([]);
  });

  test('programs run in each of them', async () => {
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

  test('bad input', async () => {
    expect(await rejection(Namespace.create([]))).toMatchObject({ path: 'types' });
    expect(await rejection(Namespace.create(['net', 'net']))).toMatchObject({ path: 'types' });
    expect(await rejection(Namespace.create('net', { signal: 5 as unknown as AbortSignal }))).toMatchObject({ path: 'signal' });
    expect(await rejection(Namespace.create('nonsense' as NamespaceType))).toMatchObject({ path: 'types[0]' });
    expect(await rejection(Namespace.create('uts', { hostname: '' }))).toMatchObject({ path: 'hostname' });
    expect(await rejection(Namespace.create('uts', { signal: AbortSignal.abort() }))).toMatchObject({ code: 'ABORT_ERR' });
  });
});

describe('inspect', () => {
  test('tells what lsns tells', async () => {
    const running = spawnIsolated('sleep', ['100'], { reject: false });
    await running.spawned;
    const { namespaces } = running.report ?? { namespaces: { user: 0 } };
    using user = Namespace.open(running.pid ?? 0, 'user');
    const info = user.inspect();
    expect(info).toMatchObject({ type: 'user', inode: namespaces.user, members: [running.pid] });
    expect(info.parent).toBe(info.owner);
    expect(info.uidMap).toEqual([{ inside: expect.any(Number), outside: expect.any(Number), count: 1 }]);
    using parent = user.parent();
    // Run by root it belongs to the sandbox's own host id, so that root is not charged for what is counted by user.
    expect(parent?.inspect().ownerUid).toBe(isRoot ? info.uidMap?.[0]?.outside : process.geteuid?.());
    using uts = Namespace.open(running.pid ?? 0, 'uts');
    expect(uts.parent()).toBeNull();
    expect(uts.inspect().owner).toBe(parent?.inode);
    expect(uts.id).toBe(nsId(uts.fd));
    await running.stop(0);
  });

  test('of a sandbox: each of its namespaces, and pids on both sides', async () => {
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

describe('share', () => {
  test('two sandboxes with one network: a pod', async () => {
    const one = await Sandbox.open();
    using net = one.namespace('net');
    const two = await Sandbox.open({ namespaces: { net }, hostname: 'two' });
    const serve = "require('net').createServer((c) => c.end(require('os').hostname())).listen(7000, () => console.log('ready'))";
    const server = one.spawn(process.execPath, ['-e', serve], { reject: false });
    await new Promise((resolve) => server.stdout?.once('data', resolve));
    const ask = "require('net').connect(7000).on('data', (d) => console.log(String(d)))";
    expect((await two.spawn(process.execPath, ['-e', ask])).stdout).toBe('sandbox');
    expect([two.report.namespaces.net, two.report.shared]).toEqual([one.report.namespaces.net, ['net', 'time']]);
    expect(two.report.namespaces.uts).not.toBe(one.report.namespaces.uts);
    const foreign = await two.spawn('/bin/sh', ['-c', 'kill -9 -1; ls /proc | grep -c "^[0-9]"'], { reject: false });
    expect(foreign.signal ?? foreign.exitCode).not.toBeUndefined();
    expect(server.pid && existsSync(`/proc/${server.pid}`)).toBe(true);
    await two.close();
    await one.close();
  });

  test('what has joined can change nothing of it, nor make user namespaces', async () => {
    const one = await Sandbox.open();
    using net = one.namespace('net');
    const { stdout, stderr } = await net.spawn(
      '/bin/sh',
      ['-c', 'unshare -U true; grep Cap /proc/self/status | sort -u | cut -f2 | sort -u'],
      { reject: false },
    );
    expect([stdout, stderr]).toEqual(['0000000000000000', expect.stringMatching(/not permitted|No space left|Function not implemented/)]);
    const again = await one.spawn('/bin/sh', ['-c', 'unshare -U true'], { reject: false });
    expect(again.exitCode).not.toBe(0);
    await one.close();
  });

  test('with seccomp off the kernel’s own limit still refuses nested ones, in both', async () => {
    const one = await Sandbox.open({ seccomp: 'off' });
    using net = one.namespace('net');
    const tryIt = ['-c', 'unshare -U true 2>&1'] as const;
    expect((await one.spawn('/bin/sh', tryIt, { reject: false })).stdout).toMatch(/No space left/);
    expect((await net.spawn('/bin/sh', tryIt, { reject: false, seccomp: 'off' })).stdout).toMatch(/No space left/);
    expect((await one.spawn('/bin/sh', tryIt, { reject: false })).stdout).toMatch(/No space left/);
    await one.close();
  });

  test('a user namespace keeps its own limit, and root is out of reach before it enters one', async () => {
    using user = await Namespace.create('user');
    for (let round = 0; round < 2; round++) expect((await user.spawn('id', ['-u'])).stdout).toMatch(/^\d+$/);
    const steps = explain({ namespaces: { user } }).steps.map(({ operation, args }) => `${operation} ${args.join(' ')}`);
    expect(steps.filter((step) => step.includes('max_user_namespaces'))).toEqual([]);
    const enter = steps.findIndex((step) => step.startsWith('SetNs'));
    expect([steps[enter - 1], steps[enter + 1]].includes('Dumpable 1')).toBe(!isRoot);
    expect(steps[enter - 1] === 'Dumpable 0').toBe(isRoot);
  });

  test('ipc, uts, mnt of one in another', async () => {
    const one = await Sandbox.open({ hostname: 'first' });
    using uts = one.namespace('uts');
    expect(await sh('uname -n', { namespaces: { uts } })).toBe('first');
    using ipc = one.namespace('ipc');
    await one.spawn('/bin/sh', ['-c', 'ipcmk -Q >/dev/null']);
    expect(await sh('ipcs -q | grep -c 0x', { namespaces: { ipc } })).toBe('1');
    await one.close();
  });

  test('a type that does not fit, and a pid namespace, are refused with the alternative', async () => {
    const one = await Sandbox.open();
    using net = one.namespace('net');
    using pid = one.namespace('pid');
    expect(thrown(() => spawnIsolated('true', [], { namespaces: { uts: net } }))).toMatchObject({ path: 'namespaces.uts' });
    expect(thrown(() => spawnIsolated('true', [], { namespaces: { pid } })).message).toMatch(/with its spawn\(\)/);
    expect(thrown(() => spawnIsolated('true', [], { namespaces: { net }, network: 'host' }))).toMatchObject({ path: 'network' });
    expect(thrown(() => spawnIsolated('true', [], { namespaces: { net: {} as Namespace } }))).toMatchObject({ path: 'namespaces.net' });
    await one.close();
  });

  testIf(!isRoot, 'an unprivileged user', 'a namespace that others own is refused with its cause', async () => {
    using net = Namespace.open('self', 'net');
    expect(await rejection(spawnIsolated('true', [], { namespaces: { net } }))).toMatchObject({
      code: 'EPERM',
      syscall: 'setns',
      origin: 'namespaces.net',
    });
  });
});

describe('sockets of this process inside', () => {
  test('an HTTP server on port 80 is answered to a program inside, and to nobody else', async () => {
    const sandbox = await Sandbox.open();
    const server = createServer((_, response) => response.end('from outside'));
    await sandbox.net.listen(server, 80);
    const fetch = "fetch('http://127.0.0.1/').then((r) => r.text()).then(console.log)";
    expect((await sandbox.spawn(process.execPath, ['-e', fetch])).stdout).toBe('from outside');
    const refused = await new Promise((resolve) =>
      createConnection(80, '127.0.0.1')
        .once('error', resolve)
        .once('connect', () => resolve('reached')),
    );
    expect(refused).toMatchObject({ code: 'ECONNREFUSED' });
    expect(await rejection(sandbox.net.listen(createServer(), 80))).toMatchObject({ code: 'EADDRINUSE', syscall: 'bind' });
    const closed = once(server, 'close');
    await sandbox.close();
    await closed;
  });

  test('http.request goes into the sandbox', async () => {
    const sandbox = await Sandbox.open();
    const serve = "require('http').createServer((q, r) => r.end('inside ' + q.url)).listen(8080, () => console.log('ready'))";
    const program = sandbox.spawn(process.execPath, ['-e', serve], { reject: false });
    await new Promise((resolve) => program.stdout?.once('data', resolve));
    const text = await new Promise((resolve, reject) => {
      const sent = request({ path: '/x', createConnection: () => sandbox.net.connect(8080) }, (response) =>
        response.once('data', (data) => resolve(String(data))),
      );
      sent.once('error', reject).end();
    });
    expect(text).toBe('inside /x');
    const refused = get({ createConnection: () => sandbox.net.connect(8081) });
    expect(await new Promise((resolve) => refused.once('error', resolve))).toMatchObject({ code: 'ECONNREFUSED' });
    await sandbox.close();
  });

  test('UDP both ways', async () => {
    const sandbox = await Sandbox.open();
    const socket = await sandbox.net.udp(53);
    socket.on('message', (data, from) => socket.send(`echo ${data}`, from.port, from.address));
    const ask =
      "const s = require('dgram').createSocket('udp4'); s.on('message', (d) => { console.log(String(d)); s.close(); }); s.send('hi', 53, '127.0.0.1');";
    expect((await sandbox.spawn(process.execPath, ['-e', ask])).stdout).toBe('echo hi');
    await sandbox.close();
  });

  test('sockets by type, and by way of a Namespace', async () => {
    const sandbox = await Sandbox.open();
    using net = sandbox.namespace('net');
    const server = createServer((_, response) => response.end('by namespace'));
    await net.listen(server, 8080);
    const socket = sandbox.net.socket('tcp4').connect({ host: '127.0.0.1', port: 8080 });
    await once(socket, 'connect');
    expect(
      await new Promise((resolve) =>
        get({ createConnection: () => net.connect(8080) }, (response) => response.once('data', (data) => resolve(String(data)))),
      ),
    ).toBe('by namespace');
    const udp = await sandbox.net.socket('udp6');
    expect(udp.address().family).toBe('IPv6');
    expect(thrown(() => sandbox.net.socket('raw' as 'tcp4'))).toMatchObject({ path: 'type' });
    await sandbox.close();
  });

  test('closing the sandbox closes them, and no namespace stays alive', async () => {
    const before = openDescriptors();
    const sandbox = await Sandbox.open();
    using net = sandbox.namespace('net');
    const reference = net.toJSON();
    const server = createServer(() => {});
    await sandbox.net.listen(server, 80);
    const connected = sandbox.net.connect(80);
    await once(connected, 'connect');
    await sandbox.net.udp(5000);
    net.close();
    await sandbox.close();
    await eventually(() => expect(thrown(() => Namespace.reopen(reference).close())).toMatchObject({ code: 'ESTALE' }));
    await keepersGone();
    expect(connected.destroyed).toBe(true);
    expect(openDescriptors()).toBeLessThanOrEqual(before);
    expect(thrown(() => sandbox.net.connect(80))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  test('bad input', async () => {
    const sandbox = await Sandbox.open();
    expect(await rejection(sandbox.net.listen(createServer(), 70_000))).toMatchObject({ path: 'port' });
    expect(await rejection(sandbox.net.listen(createServer(), 80, 'name'))).toMatchObject({ path: 'host' });
    expect(await rejection(sandbox.net.listen({} as Server, 83))).toMatchObject({ path: 'server' });
    expect(thrown(() => sandbox.net.connect(80, 'localhost'))).toMatchObject({ path: 'host' });
    expect(await rejection(sandbox.net.listen(createServer(), 80, '9.9.9.9'))).toMatchObject({ code: 'EADDRNOTAVAIL' });
    using uts = sandbox.namespace('uts');
    expect(thrown(() => uts.net)).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
    await sandbox.close();
  });
});

describe('run', () => {
  testIf(isRoot, 'root', 'this thread is inside while the function runs, and back even if it throws', async () => {
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

  test('where a thread of Node cannot go the error names the alternatives', async () => {
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
  testIf(isRoot, 'root', 'it lives on after its maker has exited, and is opened by its path', () => {
    const folder = temporaryFolder();
    const path = join(folder.path, 'pinned');
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
    folder.remove();
  });

  test('without rights, or where nothing can be made, nothing is left', async () => {
    const folder = temporaryFolder();
    await using ns = await Namespace.create('uts');
    mkdirSync(join(folder.path, 'full'));
    writeFileSync(join(folder.path, 'full/file'), '');
    expect(thrown(() => ns.pin(join(folder.path, 'full/file')))).toMatchObject({ path: 'path' });
    expect(thrown(() => ns.pin(join(folder.path, 'missing/file')))).toMatchObject({ code: 'ENOENT', origin: 'pin' });
    if (!isRoot) {
      expect(thrown(() => ns.pin(join(folder.path, 'pinned')))).toMatchObject({
        code: 'EPERM',
        hint: expect.stringContaining('CAP_SYS_ADMIN'),
      });
      expect(existsSync(join(folder.path, 'pinned'))).toBe(false);
    }
    expect(thrown(() => Namespace.unpin('/nonexistent')).code).toMatch(/ENOENT|EPERM/);
    folder.remove();
  });

  test('what was written down in another life of the machine is stale', () => {
    using ns = Namespace.open('self', 'net');
    expect(thrown(() => Namespace.reopen({ ...ns.toJSON(), bootId: 'another' }))).toMatchObject({
      code: 'ESTALE',
      hint: expect.stringContaining('anew'),
    });
    const { handle: _, ...rest } = ns.toJSON();
    expect(thrown(() => Namespace.reopen({ ...rest, pid: process.pid, startTime: 1 }))).toMatchObject({ code: 'ESTALE' });
    const startTime = Number(readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ')[19]);
    using byProcess = Namespace.reopen({ ...rest, pid: process.pid, startTime });
    expect(byProcess.equals(ns)).toBe(true);
    expect(thrown(() => Namespace.open({ ...ns.toJSON() }, 'uts'))).toMatchObject({ path: 'target' });
  });
});

describe('descriptors', () => {
  test('Fd: closed twice is closed once; given away it is no longer its own', () => {
    const fd = new Fd(Namespace.open('self', 'net').release());
    const number = fd.release();
    fd.close();
    using again = new Fd(number);
    expect([fd.closed, again.fd]).toEqual([true, number]);
  });

  test('PidFd: kill, exited, info, getfd', async () => {
    const child = spawn('sleep', ['100'], { stdio: 'ignore' });
    using process_ = PidFd.open(child.pid ?? 0);
    expect([process_.alive, process_.info().pid]).toEqual([true, child.pid]);
    process_.getfd(0).close();
    const exited = process_.exited();
    process_.kill('SIGTERM');
    const seen = once(child, 'exit');
    expect(await exited).toEqual({ pid: child.pid, code: 2, status: 15 });
    expect(process_.alive).toBe(false);
    expect(await seen).toEqual([null, 'SIGTERM']);
    expect(thrown(() => PidFd.open(0))).toMatchObject({ path: 'pid' });
    expect(thrown(() => process_.kill('SIGNOPE' as NodeJS.Signals))).toMatchObject({ path: 'signal' });
    expect(thrown(() => PidFd.from(-1, 5))).toMatchObject({ path: 'fd' });
  });

  test('PidFd: closed while the end is waited for; waited for twice, and aborted', async () => {
    const child = spawn('sleep', ['100'], { stdio: 'ignore' });
    const closed = PidFd.open(child.pid ?? 0);
    const waiting = [closed.exited(), closed.exited()];
    const aborted = closed.exited({ signal: AbortSignal.timeout(10) });
    expect(await rejection(aborted)).toMatchObject({ code: 'ABORT_ERR' });
    closed.close();
    for (const one of waiting) expect(await rejection(one)).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    using again = PidFd.open(child.pid ?? 0);
    const both = Promise.all([again.exited(), again.exited()]);
    child.kill('SIGKILL');
    expect(await both).toEqual([expect.objectContaining({ status: 9 }), expect.objectContaining({ status: 9 })]);
  });

  test('what is forgotten warns', () => {
    const script = `
      process.on('warning', (warning) => { console.log(warning.name, warning.message.replace(/\\d+/, 'N')); });
      (() => { require('nsjs').Namespace.open('self', 'net'); })();
      setTimeout(() => { gc(); setTimeout(() => {}, 50); }, 10);`;
    expect(
      execFileSync(process.execPath, ['--expose-gc', '-e', script], {
        cwd: __dirname,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ).toBe('NsjsWarning a net namespace (descriptor N) was not closed\n');
  });
});

async function eventually(check: () => void): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      check();
      return;
    } catch {
      await sleep(10);
    }
  }
  check();
}
