import { existsSync } from 'node:fs';
import { explain, Namespace, Sandbox, spawnIsolated } from 'nsjs';
import { isRoot, rejection, sh, testIf, thrown } from '../../support';

describe('share', () => {
  test('two sandboxes can share one network like a pod', async () => {
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

  test('a program that has joined a namespace has no capabilities and cannot create user namespaces', async () => {
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

  test('with seccomp off, max_user_namespaces still prevents nested user namespaces in both', async () => {
    const one = await Sandbox.open({ seccomp: 'off' });
    using net = one.namespace('net');
    const tryIt = ['-c', 'unshare -U true 2>&1'] as const;
    expect((await one.spawn('/bin/sh', tryIt, { reject: false })).stdout).toMatch(/No space left/);
    expect((await net.spawn('/bin/sh', tryIt, { reject: false, seccomp: 'off' })).stdout).toMatch(/No space left/);
    expect((await one.spawn('/bin/sh', tryIt, { reject: false })).stdout).toMatch(/No space left/);
    await one.close();
  });

  test('joining a user namespace keeps its limit, and a launcher of root is not dumpable before it joins', async () => {
    using user = await Namespace.create('user');
    for (let round = 0; round < 2; round++) expect((await user.spawn('id', ['-u'])).stdout).toMatch(/^\d+$/);
    const steps = explain({ namespaces: { user } }).steps.map(({ operation, args }) => `${operation} ${args.join(' ')}`);
    expect(steps.filter((step) => step.includes('max_user_namespaces'))).toEqual([]);
    const enter = steps.findIndex((step) => step.startsWith('SetNs'));
    expect([steps[enter - 1], steps[enter + 1]].includes('Dumpable 1')).toBe(!isRoot);
    expect(steps[enter - 1] === 'Dumpable 0').toBe(isRoot);
  });

  test('a run can join the ipc and uts namespaces of a sandbox', async () => {
    const one = await Sandbox.open({ hostname: 'first' });
    using uts = one.namespace('uts');
    expect(await sh('uname -n', { namespaces: { uts } })).toBe('first');
    using ipc = one.namespace('ipc');
    await one.spawn('/bin/sh', ['-c', 'ipcmk -Q >/dev/null']);
    expect(await sh('ipcs -q | grep -c 0x', { namespaces: { ipc } })).toBe('1');
    await one.close();
  });

  test('a namespace of the wrong type and a pid namespace are refused', async () => {
    const one = await Sandbox.open();
    using net = one.namespace('net');
    using pid = one.namespace('pid');
    expect(thrown(() => spawnIsolated('true', [], { namespaces: { uts: net } }))).toMatchObject({ path: 'namespaces.uts' });
    expect(thrown(() => spawnIsolated('true', [], { namespaces: { pid } })).message).toMatch(/call spawn\(\) of the sandbox/);
    expect(thrown(() => spawnIsolated('true', [], { namespaces: { net }, network: 'host' }))).toMatchObject({ path: 'network' });
    expect(thrown(() => spawnIsolated('true', [], { namespaces: { net: {} as Namespace } }))).toMatchObject({ path: 'namespaces.net' });
    await one.close();
  });

  testIf(!isRoot, 'an unprivileged user', 'a namespace that another user owns is refused with the cause', async () => {
    using net = Namespace.open('self', 'net');
    expect(await rejection(spawnIsolated('true', [], { namespaces: { net } }))).toMatchObject({
      code: 'EPERM',
      syscall: 'setns',
      origin: 'namespaces.net',
    });
  });
});
