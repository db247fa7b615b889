import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { Network, Sandbox, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { isRoot, rejection, sleep, testIf, thrown } from '../../support';
import { openDescriptors } from '../../support/processes';
import { eventually } from '../../support/until';
import { links, tables } from './leftovers';
import { answer, ask, open, rootLab, serve, userLab } from './on-network';
import { inLab, lab, labNeeded } from './world';

const hasPing = spawnSync('ping', ['-V']).status === 0;

describe('sandboxes on one network', () => {
  lab('sandboxes reach each other by address and by name, and nothing else', async () => {
    const network = await Network.create({ subnet: ['10.77.0.0/24', 'fd00:77::/64'] });
    const [one, two, three] = [
      await open(network, 'one', { addresses: ['10.77.0.11/24', 'fd00:77::11/64'] }),
      await open(network, 'two'),
      await open(network, 'three', { alias: 'third', mtu: 1400, mac: '02:00:00:00:00:33', name: 'lan0' }),
    ] as const;
    try {
      await serve(one, 80, 'this is one');
      expect(network.names).toEqual({
        one: ['10.77.0.11', 'fd00:77::11'],
        two: ['10.77.0.2', 'fd00:77::2'],
        third: ['10.77.0.3', 'fd00:77::3'],
      });
      expect(await answer(two, '10.77.0.11', 80)).toBe('this is one');
      expect(await answer(two, 'fd00:77::11', 80)).toBe('this is one');
      expect(await answer(three, 'one', 80)).toBe('this is one');
      expect(await answer(three, 'nobody', 80)).toBe('ENOTFOUND');
      // The network has no uplink.
      expect(await answer(two, '93.184.216.34', 80)).toMatch(/ENETUNREACH|EHOSTUNREACH/);
      const { stdout } = await three.spawn('/bin/sh', ['-c', 'ip -o link; ip -o addr; ip route'], { reject: false });
      expect(stdout).toContain('lan0');
      expect(stdout).toContain('mtu 1400');
      expect(stdout).toContain('02:00:00:00:00:33');
      expect(stdout).toContain('10.77.0.3/24');
    } finally {
      await Promise.all([one.close(), two.close(), three.close()]);
      await network.close();
    }
  });

  testIf(inLab && hasPing, hasPing ? labNeeded : 'ping', 'ping works if its sockets are allowed', async () => {
    const network = await Network.create();
    const one = await open(network, 'one');
    const range = isRoot ? '0 2147483647' : '0 0';
    try {
      const { stdout, stderr } = await spawnIsolated('ping', ['-c', '1', '-W', '2', 'one'], {
        preset: 'node',
        seccomp: 'off',
        // ping sets PR_SET_KEEPCAPS, which locked securebits forbid. It has no capabilities to keep.
        securebits: [],
        reject: false,
        network: { veth: { network }, sysctl: { 'net.ipv4.ping_group_range': range } },
      });
      expect({ stdout, stderr }).toEqual({ stdout: expect.stringContaining('1 received'), stderr: '' });
    } finally {
      await one.close();
      await network.close();
    }
  });

  lab('isolated sandboxes cannot reach each other', async () => {
    const network = await Network.create({ isolated: true });
    const [one, two] = [await open(network, 'one'), await open(network, 'two')] as const;
    try {
      await serve(one, 80, 'this is one');
      const [address = ''] = network.names.one ?? [];
      expect(await answer(two, address, 80)).toMatch(/timeout|EHOSTUNREACH/);
      expect(await answer(two, 'one', 80)).toMatch(/timeout|EHOSTUNREACH/);
    } finally {
      await Promise.all([one.close(), two.close()]);
      await network.close();
    }
  });

  lab('a one-shot run gets an address, and aliases and addresses that are in use or outside the subnet are refused', async () => {
    const network = await Network.create({ subnet: '10.78.0.0/29' });
    const one = await open(network, 'one');
    try {
      const { stdout } = await spawnIsolated('/bin/sh', ['-c', 'cat /etc/resolv.conf; cat /proc/net/route | wc -l'], {
        preset: 'node',
        proc: 'full',
        network: { veth: { network } },
      });
      expect(stdout).toContain('nameserver 10.78.0.1');
      const taken = rejection(spawnIsolated('true', [], { hostname: 'one', network: { veth: { network } } }));
      expect(await taken).toMatchObject({ code: 'ERR_NSJS_NETWORK' });
      const [address] = network.names.one ?? [];
      expect(await rejection(spawnIsolated('true', [], { network: { veth: { network, addresses: [`${address}/29`] } } }))).toMatchObject({
        code: 'ERR_NSJS_NETWORK',
        message: expect.stringContaining('is already in use'),
      });
      expect(await rejection(spawnIsolated('true', [], { network: { veth: { network, addresses: ['10.9.9.9/24'] } } }))).toMatchObject({
        code: 'ERR_NSJS_NETWORK',
      });
      // A blocking call works too; its address is free again afterwards.
      for (let index = 0; index < 8; index++) spawnIsolatedSync('true', [], { network: { veth: { network } } });
      expect(Object.keys(network.names)).toEqual(['one']);
    } finally {
      await one.close();
      await network.close();
    }
    expect(await rejection(spawnIsolated('true', [], { network: { veth: { network } } }))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  lab('an open sandbox can be attached to two networks', async () => {
    const [left, right] = [await Network.create(), await Network.create()] as const;
    const [one, two, both] = [
      await open(left, 'one'),
      await open(right, 'two'),
      await Sandbox.open({ preset: 'node', network: {} }),
    ] as const;
    try {
      const attached = [left.attach(both, { name: 'left' }), right.attach(both, { name: 'right', alias: 'both' })];
      expect(attached.map((one) => one.interface)).toEqual(['left', 'right']);
      // A failed attach leaves nothing behind in a sandbox that keeps running.
      expect(thrown(() => left.attach(both, { name: 'third', alias: 'Third', gateways: ['192.0.2.1'] }))).toMatchObject({
        code: 'ENETUNREACH',
      });
      expect((await both.spawn('ip', ['-o', 'link'])).stdout).not.toContain('third');
      expect(left.names.third).toBeUndefined();
      await serve(one, 80, 'left');
      await serve(two, 80, 'right');
      expect(await answer(both, left.names.one?.[0] ?? '', 80)).toBe('left');
      expect(await answer(both, right.names.two?.[0] ?? '', 80)).toBe('right');
      expect(right.names.both).toEqual([attached[1]?.addresses[0]?.split('/')[0]]);
      await both.close();
      await sleep(10);
      expect(right.names.both).toBeUndefined();
    } finally {
      await Promise.all([one.close(), two.close(), both.close()]);
      await Promise.all([left.close(), right.close()]);
    }
  });

  lab('a program inside cannot change the network', async () => {
    const network = await Network.create();
    const { stdout } = await spawnIsolated(
      '/bin/sh',
      ['-c', 'ip link set eth0 down 2>&1; ip addr add 10.0.0.1/8 dev eth0 2>&1; ip -o link | wc -l'],
      {
        preset: 'container',
        reject: false,
        network: { veth: { network } },
      },
    );
    await network.close();
    expect(stdout.split('\n').slice(0, 2)).toEqual(Array(2).fill('RTNETLINK answers: Operation not permitted'));
  });

  userLab('an unprivileged user cannot use NAT, publish ports or attach a sandbox with its own network namespace', async () => {
    expect(await rejection(Network.create({ nat: true }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
    const network = await Network.create();
    const sandbox = await Sandbox.open();
    expect(thrown(() => network.attach(sandbox))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
    expect(thrown(() => network.publish({ port: 80, to: '10.1.1.1' }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
    expect(await rejection(spawnIsolated('true', [], { network: { veth: { hostName: 'x0' } } }))).toMatchObject({
      code: 'ERR_NSJS_UNSUPPORTED',
    });
    await sandbox.close();
    // This process still has access to the network.
    const server = createHttp((_, response) => response.end('from Node'));
    await network.net?.listen(server, 8080, network.gateways[0]);
    const inside = await open(network, 'inside');
    const { stdout } = await inside.spawn('curl', ['-sS', `http://${network.gateways[0]}:8080/`]);
    expect(stdout).toBe('from Node');
    await inside.close();
    await network.close();
  });
});

describe('a shared network', () => {
  test('a program can use the network of another sandbox', async () => {
    const one = await Sandbox.open({ preset: 'node' });
    await serve(one, 8080, 'shared');
    const { stdout } = await spawnIsolated(process.execPath, ['-e', ask('127.0.0.1', 8080)], { preset: 'node', network: { share: one } });
    expect(stdout).toBe('shared');
    const named = await spawnIsolated('cat', ['/etc/resolv.conf'], { network: { share: one, dns: ['192.0.2.53'] } });
    expect(named.stdout).toBe('nameserver 192.0.2.53');
    await one.close();
  });
});

describe('no interfaces, tables or descriptors remain', () => {
  lab('after many sandboxes with networks', async () => {
    const count = 500;
    const before = links();
    const network = await Network.create();
    await spawnIsolated('true', [], { network: { veth: { network } } });
    await sleep(50);
    const fds = openDescriptors();
    for (let index = 0; index < count; index += 4) {
      await Promise.all(
        [0, 1, 2, 3].map((number) =>
          spawnIsolated('true', [], { network: number % 2 === 0 ? { veth: { network } } : { egress: { allow: ['good.test'] } } }),
        ),
      );
    }
    expect(network.names).toEqual({});
    await eventually(() => expect(openDescriptors()).toBeLessThanOrEqual(fds));
    const targets = readdirSync('/proc/self/fd').map((fd) => linkOf(`/proc/self/fd/${fd}`));
    expect(targets.filter((target) => target.startsWith('net:'))).toEqual(network.net ? [expect.any(String)] : []);
    await network.close();
    await sleep(500);
    expect(links()).toEqual(before);
    expect(tables()).toEqual([]);
  });

  rootLab('after kill -9, because the next network removes them', async () => {
    const script = `const { Network, Sandbox } = require(${JSON.stringify(require.resolve('nsjs'))});
      (async () => { const network = await Network.create({ nat: true, forwarding: true }); await Sandbox.open({ network: { veth: { network } } });
      console.log(network.name); setInterval(() => {}, 1000); })();`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [name] = (await once(child.stdout, 'data')) as [Buffer];
    expect(links()).toContain(name.toString().trim());
    child.kill('SIGKILL');
    await once(child, 'exit');
    for (let turn = 0; turn < 50 && links().some((link) => link.startsWith('nsv-')); turn++) await sleep(100);
    const network = await Network.create();
    expect(links().filter((link) => link.startsWith('nsjs-'))).toEqual([network.name]);
    expect(tables()).toEqual([network.name]);
    await network.close();
    expect(tables()).toEqual([]);
  });
});

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
