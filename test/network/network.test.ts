import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { getServers, setServers } from 'node:dns';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Network, Sandbox, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { decodeQuery, encodeAnswer } from '../../dist/egress/dns-message';
import { pastaMissing } from '../../dist/network/setup/pasta';
import { openDescriptors } from '../leaks/processes';
import { isRoot, rejection, sleep, testIf, thrown } from '../support';
import { links, tables } from './leftovers';
import { inLab, labNeeded, World } from './world';

const hasPing = spawnSync('ping', ['-V']).status === 0;
const lab = (name: string, body: () => Promise<unknown>) => testIf(inLab, labNeeded, name, body);
const rootLab = (name: string, body: () => Promise<unknown>) => testIf(inLab && isRoot, `${labNeeded}, as root`, name, body);
const userLab = (name: string, body: () => Promise<unknown>) => testIf(inLab && !isRoot, `${labNeeded}, as a user`, name, body);

const code = (port: number, text: string) =>
  `require('net').createServer((c) => c.end(${JSON.stringify(text)})).listen(${port}, () => console.log('ready'))`;
const ask = (host: string, port: number) =>
  `require('net').connect(${port}, ${JSON.stringify(host)}).on('data', (d) => process.stdout.write(d)).on('error', (e) => console.log(e.code)).setTimeout(3000, () => { console.log('timeout'); process.exit(); })`;

/** Starts a server in a sandbox and waits until it listens. */
async function serve(sandbox: Sandbox, port: number, text: string) {
  const server = sandbox.spawn(process.execPath, ['-e', code(port, text)], { reject: false });
  if (server.stdout) await once(server.stdout, 'data');
}

const answer = async (sandbox: Sandbox, host: string, port: number): Promise<string> =>
  (await sandbox.spawn(process.execPath, ['-e', ask(host, port)], { reject: false })).stdout;

const open = (network: Network, alias: string, more: object = {}) =>
  Sandbox.open({ preset: 'node', hostname: alias, network: { veth: { network, ...more } } });

describe('sandboxes on one network', () => {
  lab('have addresses, reach each other by address and by name, and nothing else', async () => {
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
      // Without a way out there is none.
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

  testIf(inLab && hasPing, hasPing ? labNeeded : 'ping', 'ping, where its sockets are allowed', async () => {
    const network = await Network.create();
    const one = await open(network, 'one');
    const range = isRoot ? '0 2147483647' : '0 0';
    try {
      const { stdout, stderr } = await spawnIsolated('ping', ['-c', '1', '-W', '2', 'one'], {
        preset: 'node',
        seccomp: 'off',
        // It keeps its capabilities for a moment, of which it has none.
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

  lab('that is isolated cannot reach each other', async () => {
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

  lab('a single program, an alias twice, addresses that are taken or elsewhere', async () => {
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
        message: expect.stringContaining('is taken'),
      });
      expect(await rejection(spawnIsolated('true', [], { network: { veth: { network, addresses: ['10.9.9.9/24'] } } }))).toMatchObject({
        code: 'ERR_NSJS_NETWORK',
      });
      // A blocking call too; its address is free again afterwards.
      for (let index = 0; index < 8; index++) spawnIsolatedSync('true', [], { network: { veth: { network } } });
      expect(Object.keys(network.names)).toEqual(['one']);
    } finally {
      await one.close();
      await network.close();
    }
    expect(await rejection(spawnIsolated('true', [], { network: { veth: { network } } }))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  lab('one that is open already is plugged in, and two networks meet in one', async () => {
    const [left, right] = [await Network.create(), await Network.create()] as const;
    const [one, two, both] = [
      await open(left, 'one'),
      await open(right, 'two'),
      await Sandbox.open({ preset: 'node', network: {} }),
    ] as const;
    try {
      const attached = [left.attach(both, { name: 'left' }), right.attach(both, { name: 'right', alias: 'both' })];
      expect(attached.map((one) => one.interface)).toEqual(['left', 'right']);
      // What fails leaves nothing in a sandbox that goes on.
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

  lab('what is inside cannot change the network', async () => {
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

  userLab('as a user there is no uplink, and a sandbox of its own making cannot be plugged in', async () => {
    expect(await rejection(Network.create({ nat: true }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
    const network = await Network.create();
    const sandbox = await Sandbox.open();
    expect(thrown(() => network.attach(sandbox))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
    expect(thrown(() => network.publish({ port: 80, to: '10.1.1.1' }))).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
    expect(await rejection(spawnIsolated('true', [], { network: { veth: { hostName: 'x0' } } }))).toMatchObject({
      code: 'ERR_NSJS_UNSUPPORTED',
    });
    await sandbox.close();
    // This process is in it all the same.
    const server = createHttp((_, response) => response.end('from Node'));
    await network.net?.listen(server, 8080, network.gateways[0]);
    const inside = await open(network, 'inside');
    const { stdout } = await inside.spawn('curl', ['-sS', `http://${network.gateways[0]}:8080/`]);
    expect(stdout).toBe('from Node');
    await inside.close();
    await network.close();
  });
});

describe('an uplink', () => {
  const world = new World();
  beforeAll(async () => {
    if (inLab) await world.open();
  });
  afterAll(async () => {
    if (inLab) await world.close();
  });

  /** The Internet: another namespace with servers of its own, which is this host's neighbour. */
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
    const tls = { key: readFileSync(join(world.folder.path, 'server.key')), cert: readFileSync(join(world.folder.path, 'server.pem')) };
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

  rootLab('three sandboxes reach each other, and the Internet through NAT; a published port leads in; nothing else does', async () => {
    const there = await internet();
    const before = links();
    const servers = getServers();
    // The host's resolver is one of the Internet.
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
      // What listens on this host, its metadata service, and other networks' sandboxes are out of reach.
      expect(await answer(one, '93.184.216.34', 80)).toMatch(/ECONNREFUSED|EHOSTUNREACH/);
      expect(await answer(one, '169.254.169.254', 80)).toMatch(/EHOSTUNREACH|EACCES|ENETUNREACH/);
      // In by the published port, from outside and from this host; past it from nowhere.
      network.publish({ port: 8081, to: 'one', toPort: 8000 });
      expect(await answer(there, '203.0.113.1', 8081)).toBe('published');
      expect(await fromHere('203.0.113.1', 8081)).toBe('published');
      // The host's own loopback stays its own.
      expect(await fromHere('127.0.0.1', 8081)).toBe('ECONNREFUSED');
      // Names are asked for at the gateway, and nowhere else on this host.
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

  rootLab('another network, and what is routed past the bridge, are out of reach', async () => {
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

  rootLab('isolated sandboxes do not meet by way of the host either', async () => {
    const network = await Network.create({ isolated: true, nat: true, forwarding: true });
    const [one, two] = [await open(network, 'one'), await open(network, 'two')] as const;
    await serve(one, 80, 'this is one');
    const [address = ''] = network.names.one ?? [];
    // By the gateway's address, as if it were far away.
    const { stdout } = await two.spawn(process.execPath, ['-e', ask(address, 80)], { reject: false });
    expect(stdout).toMatch(/timeout|EHOSTUNREACH/);
    await Promise.all([one.close(), two.close()]);
    await network.close();
  });

  rootLab('a host that forwards no packets is told of, and left alone', async () => {
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
    const error = await rejection(Network.create({ nat: true }));
    expect(error).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED', hint: expect.stringContaining('sysctl -w net.ipv4.ip_forward=1') });
    expect(readFileSync('/proc/sys/net/ipv4/ip_forward', 'latin1').trim()).toBe('0');
    expect(links()).not.toContainEqual(expect.stringMatching(/^nsjs-/));
    expect(tables()).toEqual([]);
  });

  rootLab('subnets never collide, on this host or between processes', async () => {
    const first = await Network.create({ subnet: '10.80.0.0/24' });
    expect(await rejection(Network.create({ subnet: '10.80.0.128/25' }))).toMatchObject({ code: 'ERR_NSJS_NETWORK' });
    const made = await Promise.all([Network.create(), Network.create(), Network.create()]);
    expect(new Set(made.flatMap(({ subnets }) => subnets)).size).toBe(3);
    await Promise.all([first, ...made].map((network) => network.close()));
  });

  rootLab('a veth to the host, a macvlan, a device that moves in', async () => {
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

describe('pasta', () => {
  const missing = pastaMissing();
  testIf(
    inLab && isRoot && !missing,
    missing?.reason ?? `${labNeeded}, as root`,
    'a long-lived sandbox reaches what the host reaches, not the host itself',
    async () => {
      const there = await Sandbox.open({
        preset: 'node',
        network: { veth: { hostName: 'uplink1', hostAddresses: ['203.0.112.1/24'], addresses: ['203.0.112.80/24'] } },
      });
      await there.net.listen(
        createHttp((_, response) => response.end('outside')),
        80,
        '203.0.112.80',
      );
      execFileSync('ip', ['route', 'add', 'default', 'via', '203.0.112.80']);
      const own = createHttp((_, response) => response.end('host')).listen(8099, '127.0.0.1');
      const sandbox = await Sandbox.open({ preset: 'node', network: { pasta: { publish: { 8100: 80 } } } });
      try {
        const { stdout } = await sandbox.spawn(
          '/bin/sh',
          [
            '-c',
            'curl -sS -m 5 http://203.0.112.80/; echo; curl -sS -m 2 http://203.0.112.80:8099/; echo $?; curl -sS http://127.0.0.1:8099/; echo $?',
          ],
          {
            reject: false,
          },
        );
        expect(stdout.split('\n')).toEqual(['outside', expect.stringMatching(/7|28/), '7']);
        await serve(sandbox, 80, 'published');
        expect(await fromHere('127.0.0.1', 8100)).toBe('published');
      } finally {
        await sandbox.close();
        await there.close();
        own.close();
      }
      expect(execFileSync('sh', ['-c', 'grep -lz "^pasta|/pasta$" /proc/[0-9]*/cmdline 2>/dev/null || true'], { encoding: 'utf8' })).toBe(
        '',
      );
    },
  );

  test('is for long-lived sandboxes', () => {
    expect(thrown(() => spawnIsolated('true', [], { network: { pasta: {} } }))).toMatchObject({ path: 'network.pasta' });
  });
});

describe('sharing', () => {
  test("another sandbox's network", async () => {
    const one = await Sandbox.open({ preset: 'node' });
    await serve(one, 8080, 'shared');
    const { stdout } = await spawnIsolated(process.execPath, ['-e', ask('127.0.0.1', 8080)], { preset: 'node', network: { share: one } });
    expect(stdout).toBe('shared');
    await one.close();
  });
});

describe('nothing stays', () => {
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
    await sleep(50);
    expect(openDescriptors()).toBeLessThanOrEqual(fds);
    const targets = readdirSync('/proc/self/fd').map((fd) => linkOf(`/proc/self/fd/${fd}`));
    expect(targets.filter((target) => target.startsWith('net:'))).toEqual(network.net ? [expect.any(String)] : []);
    await network.close();
    await sleep(500);
    expect(links()).toEqual(before);
    expect(tables()).toEqual([]);
  });

  rootLab('after kill -9: the next network sweeps', async () => {
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

const fromHere = (host: string, port: number): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(port, host);
    socket.on('data', (data) => resolve(data.toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
  });
