import { Duplex } from 'node:stream';
import { type EgressContext, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { rejection, sleep, thrown } from '../../support';
import { egress, inLab, lab, outside, reset, staticProbe, World } from './world';

const world = new World();

const { resolve } = world;

beforeAll(() => (inLab ? world.open() : undefined));

afterAll(() => (inLab ? world.close() : undefined));

beforeEach(() => {
  world.seen.length = 0;
  world.asked = [];
});

describe('onConnect', () => {
  lab('receives the name or the address and the port of each connection, and its decision is applied', async () => {
    const asked: Omit<EgressContext, 'program' | 'signal'>[] = [];
    const { stdout } = await egress(
      'curl -sS http://good.test/; curl -sS http://other.test/; echo $?; curl -sS http://moved.test/; curl -sS http://93.184.216.35/',
      {
        resolve,
        onConnect: async ({ program, signal: _, ...rest }) => {
          asked.push(rest);
          expect(program()?.command).toBe('curl');
          await sleep(1);
          if (rest.name === 'good.test' || rest.address !== undefined) return 'allow';
          return rest.name === 'moved.test' ? { redirect: `${outside}:80` } : 'deny';
        },
      },
    );
    expect(stdout.split('\n')).toEqual(['outside good.test /', reset, 'outside moved.test /', 'outside 93.184.216.35 /']);
    expect(asked).toEqual([
      { name: 'good.test', port: 80, via: 'connect', listed: undefined },
      { name: 'other.test', port: 80, via: 'connect', listed: undefined },
      { name: 'moved.test', port: 80, via: 'connect', listed: undefined },
      { address: '93.184.216.35', port: 80, via: 'connect', listed: undefined },
    ]);
    // Names that are on no list are not resolved before onConnect has allowed the connection.
    expect(world.asked).toEqual(['good.test']);
  });

  lab('cannot redirect to a special or denied address by a name', async () => {
    const { refused } = await egress('curl -sS http://local.test/; curl -sS http://good.test/', {
      resolve,
      deny: [`${outside}/32`],
      onConnect: ({ name }) => ({ redirect: `${name}:8088` }),
    });
    expect(refused.map(({ reason }) => reason)).toEqual(['special-address', 'denied']);
    expect(world.seen).toEqual([]);
  });

  lab('may answer in place of the server by returning a stream', async () => {
    const { stdout } = await egress('curl -sS http://any.test/', {
      onConnect: () => ({
        stream: new Duplex({
          read() {},
          write(chunk: Buffer, _, done) {
            if (chunk.includes('\r\n\r\n')) this.push('HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nhi\n');
            done();
          },
        }),
      }),
    });
    expect(stdout).toBe('hi');
  });

  lab('cannot allow a connection to a special address', async () => {
    const { stdout, refused } = await egress(
      'curl -sS http://127.0.0.2:8088/; curl -sS http://local.test:8088/; curl -sS http://10.1.1.1:8088/; echo',
      {
        resolve,
        onConnect: () => 'allow',
      },
    );
    expect(stdout).toBe('');
    expect(refused.map(({ reason }) => reason)).toEqual(['special-address', 'special-address']);
    expect(world.seen).toEqual([]);
  });

  lab('denies the connection if it throws, returns an invalid decision or takes too long', async () => {
    const answers = [
      () => {
        throw new Error('out of order');
      },
      () => 'maybe' as never,
      () => new Promise<never>(() => {}),
      () => ({ redirect: 'nowhere' }),
    ];
    let count = 0;
    const { refused } = await egress('for i in 1 2 3 4; do curl -sS http://good.test/; done', {
      resolve,
      connectTimeout: 200,
      onConnect: () => answers[count++]?.(),
    });
    expect(refused.map(({ reason }) => reason)).toEqual(Array(4).fill('no-decision'));
    expect(refused[0]?.detail).toBe('out of order');
  });
});

describe('proxies inside the sandbox', () => {
  lab('programs that read the proxy variables use the proxies', async () => {
    const { stdout, events } = await egress(
      'curl -sS http://good.test/a; curl -sS --cacert /ca.pem https://good.test/b; curl -sS --proxy "$ALL_PROXY" http://good.test/c; curl -sS http://bad.test/; echo; curl -sS https://bad.test/; echo $?',
      { allow: ['good.test'], resolve, proxy: true },
      { mounts: [{ type: 'bind', source: world.ca, target: '/ca.pem' }] },
    );
    const lines = stdout.split('\n');
    expect(lines.slice(0, 3)).toEqual(['outside good.test /a', 'outside good.test /b', 'outside good.test /c']);
    expect(lines.at(-1)).toBe('56');
    expect(stdout).toContain('nsjs: unlisted');
    expect(new Set(events.flatMap((event) => (event.kind === 'connect' ? [event.via] : [])))).toEqual(new Set(['http-proxy', 'socks5']));
  });

  const sly: readonly (readonly [string, string])[] = [
    ['CONNECT to an address', 'CONNECT 127.0.0.1:8088 HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n'],
    ['CONNECT to a number', 'CONNECT 2130706433:8088 HTTP/1.1\\r\\n\\r\\n'],
    ['CONNECT to an octal address', 'CONNECT 0177.0.0.1:8088 HTTP/1.1\\r\\n\\r\\n'],
    ['CONNECT to a mapped address', 'CONNECT [::ffff:127.0.0.1]:8088 HTTP/1.1\\r\\n\\r\\n'],
    ['CONNECT to a port that is none', 'CONNECT good.test:99999 HTTP/1.1\\r\\n\\r\\n'],
    ['a request for an address', 'GET http://127.0.0.1:8088/ HTTP/1.1\\r\\nHost: 127.0.0.1:8088\\r\\n\\r\\n'],
    ['a request for a number', 'GET http://2130706433:8088/ HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n'],
    ['a request whose host is another', 'GET http://good.test/ HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n'],
    ['a request by path', 'GET / HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n'],
  ];
  for (const [what, text] of sly) {
    lab(`${what} is answered with 403 or 400`, async () => {
      const { stdout } = await egress(
        `printf '${text}' | /probe tcp 127.0.0.1 3128`,
        { allow: ['good.test', '*'], resolve, proxy: true },
        {
          mounts: [{ type: 'bind', source: staticProbe, target: '/probe' }],
        },
      );
      expect(stdout).toMatch(/^HTTP\/1\.1 (403|400)/);
      expect(world.seen).toEqual([]);
    });
  }
});

describe('options', () => {
  const wrong: readonly (readonly [object, string])[] = [
    [{ egress: { allow: ['a b'] } }, 'network.egress.allow[0]'],
    [{ egress: { allow: ['good.test:0'] } }, 'network.egress.allow[0]'],
    [{ egress: { allow: ['1.2.3.4/40'] } }, 'network.egress.allow[0]'],
    [{ egress: { allow: ['2130706433'] } }, 'network.egress.allow[0]'],
    [{ egress: { allow: ['*.*.test'] } }, 'network.egress.allow[0]'],
    [{ egress: { services: { 'a.test': () => {} } } }, "network.egress.services['a.test']"],
    [{ egress: { onConnect: 'allow' } }, 'network.egress.onConnect'],
    [{ egress: {}, veth: {} }, 'network.egress'],
    [{ egress: { speed: 1 } }, 'network.egress.speed'],
    [{ egress: { worker: true, services: { 'a.test:1': () => {} } } }, 'network.egress.services'],
    [{ sysctl: { 'kernel.pid_max': 1 } }, "network.sysctl['kernel.pid_max']"],
    [{ sysctl: { 'net..x': 1 } }, "network.sysctl['net..x']"],
    [{ share: 3 }, 'network.share'],
    [{ egress: { worker: 1 } }, 'network.egress.worker'],
    [{ dns: ['name'] }, 'network.dns[0]'],
    [{ veth: { name: 'a/b' } }, 'network.veth.name'],
    [{ veth: [{}, { name: 'eth0' }] }, 'network.veth[1].name'],
  ];
  test.each(wrong)('%j is an error that names %s', (network, path) => {
    expect(thrown(() => spawnIsolated('true', [], { network: network as never }))).toMatchObject({ path });
  });

  test('a network without a user namespace is refused, because the program would have rights over it', () => {
    const given = { namespaces: { user: false }, landlock: 'require', network: {} } as const;
    expect(thrown(() => spawnIsolated('true', [], given))).toMatchObject({ path: 'network' });
  });

  test('a blocking call cannot decide on connections', () => {
    expect(thrown(() => spawnIsolatedSync('true', [], { network: { egress: {} } }))).toMatchObject({ path: 'network.egress' });
  });

  test('sysctls are applied, and those that the kernel refuses are errors', async () => {
    const { stdout } = await spawnIsolated('cat', ['/proc/sys/net/ipv4/ip_default_ttl'], {
      preset: 'build',
      proc: 'full',
      network: { sysctl: { 'net.ipv4.ip_default_ttl': 32 } },
    });
    expect(stdout).toBe('32');
    const error = await rejection(spawnIsolated('true', [], { network: { sysctl: { 'net.ipv4.no_such': 1 } } }));
    expect(error).toMatchObject({ code: 'ENOENT', origin: 'network.sysctl' });
  });
});
