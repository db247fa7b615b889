import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { getServers, setServers } from 'node:dns';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { join } from 'node:path';
import { Network, Sandbox, spawnIsolated } from 'nsjs';
import { decodeQuery, encodeAnswer } from '../../../dist/egress/dns-message';
import { rejection, sleep } from '../../support';
import { links, tables } from './leftovers';
import { answer, ask, fromHere, open, rootLab, serve } from './on-network';
import { inLab, World } from './world';

describe('an uplink', () => {
  const world = new World();
  beforeAll(async () => {
    if (inLab) await world.open();
  });
  afterAll(async () => {
    if (inLab) await world.close();
  });

  /** Simulates the Internet: another network namespace with its own servers, connected to this host. */
  async function internet() {
    const there = await Sandbox.open({
      preset: 'node',
      network: {
        veth: {
          name: 'wan',
          hostName: 'uplink',
          hostAddresses: ['203.0.113.1/24', '2001:db8:1::1/64'],
          addresses: ['203.0.113.80/24', '2001:db8:1::80/64'],
          gateways: ['203.0.113.1'],
        },
      },
    });
    const tls = {
      key: readFileSync(join(world.directory.path, 'server.key')),
      cert: readFileSync(join(world.directory.path, 'server.pem')),
    };
    await there.net.listen(
      createHttp((request, response) => response.end(`http ${request.socket.remoteAddress}`)),
      80,
      '203.0.113.80',
    );
    await there.net.listen(
      createHttp((request, response) => response.end(`six ${request.socket.remoteAddress}`)),
      80,
      '2001:db8:1::80',
    );
    await there.net.listen(
      createHttps(tls, (_, response) => response.end('https')),
      443,
      '203.0.113.80',
    );
    const names = await there.net.udp(53, '203.0.113.80');
    names.on('message', (question, from) => {
      const query = decodeQuery(question);
      const known = query?.name === 'www.internet.test' && query.type === 1;
      if (query)
        names.send(
          encodeAnswer(query, { code: query.name === 'www.internet.test' ? 0 : 3, addresses: known ? ['203.0.113.80'] : [] }),
          from.port,
          from.address,
        );
    });
    const udp = await there.net.udp(7, '203.0.113.80');
    udp.on('message', (message, from) => udp.send(message, from.port, from.address));
    return there;
  }

  rootLab('three sandboxes reach each other, the Internet through NAT, and are reached only through a published port', async () => {
    const there = await internet();
    const before = links();
    const servers = getServers();
    // The host uses a resolver on the simulated Internet.
    setServers(['203.0.113.80']);
    const network = await Network.create({ subnet: ['10.79.0.0/24', 'fd00:79::/64'], nat: true, forwarding: true });
    const fixed = (last: number) => ({ addresses: [`10.79.0.${last}/24`, `fd00:79::${last}/64`], gateways: ['10.79.0.1', 'fd00:79::1'] });
    const mounts = [{ type: 'bind', source: world.ca, target: '/ca.pem' }] as const;
    const made = (alias: string, last: number) =>
      Sandbox.open({ preset: 'node', hostname: alias, mounts, network: { veth: { network, ...fixed(last) } } });
    const [one, two, three] = [await made('one', 11), await made('two', 12), await made('three', 13)] as const;
    try {
      await serve(one, 8000, 'published');
      for (const other of [two, three])
        for (const host of ['one', '10.79.0.11', 'fd00:79::11']) expect(await answer(other, host, 8000)).toBe('published');
      const lines = [
        'curl -sS -m 5 http://203.0.113.80/; echo',
        'curl -sS -m 5 -g "http://[2001:db8:1::80]/"; echo',
        'curl -sS -m 5 --cacert /ca.pem --resolve good.test:443:203.0.113.80 https://good.test/; echo',
        'curl -sS -m 5 http://www.internet.test/; echo',
        'ip route | head -1',
      ];
      const { stdout } = await three.spawn('/bin/sh', ['-c', lines.join('; ')]);
      expect(stdout.split('\n')).toEqual([
        'http 203.0.113.1',
        'six 2001:db8:1::1',
        'https',
        'http 203.0.113.1',
        'default via 10.79.0.1 dev eth0 ',
      ]);
      const udp = `const s = require('dgram').createSocket('udp4').on('message', (m) => { console.log(String(m)); s.close(); }); s.send('echo', 7, '203.0.113.80');`;
      expect((await one.spawn(process.execPath, ['-e', udp])).stdout).toBe('echo');
      // Servers on this host, its metadata service and sandboxes of other networks are unreachable.
      expect(await answer(one, '93.184.216.34', 80)).toMatch(/ECONNREFUSED|EHOSTUNREACH/);
      expect(await answer(one, '169.254.169.254', 80)).toMatch(/EHOSTUNREACH|EACCES|ENETUNREACH/);
      // The published port is reachable from outside and from this host.
      network.publish({ port: 8081, to: 'one', toPort: 8000 });
      expect(await answer(there, '203.0.113.1', 8081)).toBe('published');
      expect(await fromHere('203.0.113.1', 8081)).toBe('published');
      // The port is not published on the loopback address of the host.
      expect(await fromHere('127.0.0.1', 8081)).toBe('ECONNREFUSED');
      // DNS queries are allowed to the gateway, and to no other address of this host.
      const other = createSocket('udp4');
      other.on('message', (message, from) => other.send(message, from.port, from.address));
      await new Promise<void>((resolve) => other.bind(53, '93.184.216.34', resolve));
      const ask53 = `const s = require('dgram').createSocket('udp4'); s.on('message', () => console.log('answered')); s.on('error', (e) => console.log(e.code)); s.connect(53, '93.184.216.34', () => s.send('x')); setTimeout(() => process.exit(), 500);`;
      expect((await one.spawn(process.execPath, ['-e', ask53])).stdout).not.toContain('answered');
      other.close();
      expect(await answer(there, '10.79.0.11', 8000)).toMatch(/timeout|EHOSTUNREACH|ENETUNREACH/);
    } finally {
      setServers(servers);
      await Promise.all([one.close(), two.close(), three.close()]);
      await network.close();
      await there.close();
    }
    await sleep(200);
    expect(links().filter((name) => !before.includes(name))).toEqual([]);
    expect(tables()).toEqual([]);
  });

  rootLab('sandboxes of another network are unreachable', async () => {
    const [left, right] = [
      await Network.create({ nat: true, forwarding: true }),
      await Network.create({ nat: true, forwarding: true }),
    ] as const;
    const [one, two] = [await open(left, 'one'), await open(right, 'two')] as const;
    await serve(one, 80, 'this is one');
    expect(await answer(two, left.names.one?.[0] ?? '', 80)).toMatch(/timeout|EHOSTUNREACH/);
    await Promise.all([one.close(), two.close()]);
    await Promise.all([left.close(), right.close()]);
  });

  rootLab('isolated sandboxes cannot reach each other through the host either', async () => {
    const network = await Network.create({ isolated: true, nat: true, forwarding: true });
    const [one, two] = [await open(network, 'one'), await open(network, 'two')] as const;
    await serve(one, 80, 'this is one');
    const [address = ''] = network.names.one ?? [];
    // Neither the bridge nor the gateway forwards packets between the two.
    const { stdout } = await two.spawn(process.execPath, ['-e', ask(address, 80)], { reject: false });
    expect(stdout).toMatch(/timeout|EHOSTUNREACH/);
    await Promise.all([one.close(), two.close()]);
    await network.close();
  });

  rootLab('NAT is refused on a host that forwards no packets, and the setting of the host is not changed', async () => {
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
    const error = await rejection(Network.create({ nat: true }));
    expect(error).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED', hint: expect.stringContaining('sysctl -w net.ipv4.ip_forward=1') });
    expect(readFileSync('/proc/sys/net/ipv4/ip_forward', 'latin1').trim()).toBe('0');
    expect(links()).not.toContainEqual(expect.stringMatching(/^nsjs-/));
    expect(tables()).toEqual([]);
  });

  rootLab('networks have different subnets, and a subnet that overlaps another one is refused', async () => {
    const first = await Network.create({ subnet: '10.80.0.0/24' });
    expect(await rejection(Network.create({ subnet: '10.80.0.128/25' }))).toMatchObject({ code: 'ERR_NSJS_NETWORK' });
    const made = await Promise.all([Network.create(), Network.create(), Network.create()]);
    expect(new Set(made.flatMap(({ subnets }) => subnets)).size).toBe(3);
    await Promise.all([first, ...made].map((network) => network.close()));
  });

  rootLab('a sandbox can have a veth to the host, a macvlan or a device of the host', async () => {
    const there = await internet();
    const wired = await spawnIsolated('/bin/sh', ['-c', 'ip -o addr show; ip route'], {
      preset: 'node',
      network: {
        veth: [
          {
            name: 'v0',
            hostName: 'host0',
            addresses: ['10.81.0.2/30'],
            hostAddresses: ['10.81.0.1/30'],
            routes: [{ to: '10.99.0.0/16', via: '10.81.0.1' }],
          },
        ],
        macvlan: { name: 'm0', parent: 'uplink', addresses: ['203.0.113.9/24'] },
      },
    });
    expect(wired.stdout).toContain('v0    inet 10.81.0.2/30');
    expect(wired.stdout).toContain('m0    inet 203.0.113.9/24');
    expect(wired.stdout).toContain('10.99.0.0/16 via 10.81.0.1 dev v0');
    execFileSync('ip', ['link', 'add', 'dev0', 'type', 'veth', 'peer', 'name', 'dev1']);
    execFileSync('ip', ['addr', 'add', '10.82.0.7/24', 'dev', 'dev0']);
    const { stdout } = await spawnIsolated('/bin/sh', ['-c', 'ip -o -4 addr show dev in0'], {
      preset: 'node',
      network: { devices: { dev0: 'in0' } },
    });
    expect(stdout).toContain('10.82.0.7/24');
    expect(links()).not.toContain('dev0');
    expect(await rejection(spawnIsolated('true', [], { network: { devices: { nothere: 'x' } } }))).toMatchObject({
      code: 'ENODEV',
      path: 'nothere',
    });
    await there.close();
  });
});
