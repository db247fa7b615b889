import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { getServers, setServers } from 'node:dns';
import { readFileSync } from 'node:fs';
import { createServer as createSecure } from 'node:https';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { spawnIsolated } from 'nsjs';
import { decodeQuery, encodeAnswer } from '../../../dist/egress/dns-message';
import { egress, elsewhere, inLab, lab, outside, six, staticProbe, World } from './world';

const world = new World();

const { resolve } = world;

beforeAll(() => (inLab ? world.open() : undefined));

afterAll(() => (inLab ? world.close() : undefined));

beforeEach(() => {
  world.seen.length = 0;
  world.asked = [];
});

describe('without proxy variables', () => {
  lab('curl reaches an allowed name by HTTP and HTTPS', async () => {
    const { stdout, events } = await egress(
      'curl -sS http://good.test/a && curl -sS --cacert /ca.pem https://good.test/b',
      { allow: ['good.test'], resolve },
      { mounts: [{ type: 'bind', source: world.ca, target: '/ca.pem' }] },
    );
    expect(stdout).toBe('outside good.test /a\noutside good.test /b');
    const requests = events.flatMap((event) => (event.kind === 'request' ? [`${event.protocol} ${event.name} ${event.path ?? ''}`] : []));
    expect(requests).toEqual(['http good.test /a', 'tls good.test ']);
    expect(events.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['lookup', 'connect', 'close']));
  });

  lab('fetch of Node reaches an allowed name', async () => {
    const code = "fetch('http://good.test/n').then((r) => r.text()).then(console.log)";
    const result = await spawnIsolated(process.execPath, ['-e', code], {
      preset: 'node',
      network: { egress: { allow: ['good.test:80'], resolve } },
    });
    expect(result.stdout.trim()).toBe('outside good.test /n');
  });

  lab('Python reaches an allowed name', async () => {
    const code = "import urllib.request as u; print(u.urlopen('http://good.test/p').read().decode().strip())";
    const { stdout, stderr } = await egress(`/usr/bin/python3 -c "${code}"`, { allow: ['good.test:80'], resolve }, { preset: 'build' });
    expect({ stdout, stderr }).toEqual({ stdout: 'outside good.test /p', stderr: '' });
  });

  lab('git reaches an allowed name by HTTPS', async () => {
    const repository = join(world.directory.path, 'repository');
    const git = (...args: string[]) => execFileSync('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args]);
    execFileSync('git', ['init', '-q', '-b', 'main', repository]);
    git('commit', '-q', '--allow-empty', '-m', 'first');
    git('update-server-info');
    const pem = (name: string) => readFileSync(join(world.directory.path, name));
    const files = createSecure({ key: pem('server.key'), cert: pem('server.pem') }, (request, response) => {
      try {
        response.end(readFileSync(join(repository, '.git', (request.url ?? '').replace(/^\/r/, '').split('?')[0] ?? '')));
      } catch {
        response.writeHead(404);
        response.end();
      }
    });
    await world.listen(files, outside, 8443);
    const { stdout, stderr, exitCode } = await egress(
      'cd /tmp && git clone -q https://good.test:8443/r r && git -C r log --format=%s',
      { allow: ['good.test:8443'], resolve },
      {
        preset: 'build',
        env: { GIT_CONFIG_NOSYSTEM: '1', GIT_SSL_CAINFO: '/ca.pem' },
        mounts: [{ type: 'bind', source: world.ca, target: '/ca.pem' }],
      },
    );
    expect({ stdout, stderr, exitCode }).toEqual({ stdout: 'first', stderr: '', exitCode: 0 });
  });

  lab('a static program with its own resolver reaches an allowed name', async () => {
    const mounts = [{ type: 'bind', source: staticProbe, target: '/probe' }] as const;
    const { stdout, refused } = await egress(
      '/probe lookup 8.8.8.8 good.test 80; /probe lookup 1.1.1.1 bad.test 80',
      {
        allow: ['good.test:80'],
        resolve,
      },
      { mounts },
    );
    expect(stdout.split('\n')).toEqual(['connected', 'no such name']);
    // The program closes its connection as soon as it has one, which may be before the server is reached.
    expect(refused.filter(({ detail }) => detail !== 'the program closed its connection')).toEqual([]);
  });

  lab('a name that has only an IPv6 address is reached, and so is a listed IPv6 address', async () => {
    const { stdout } = await egress(`curl -sS http://six.test/; curl -sS -g 'http://[${six}]/'`, {
      allow: ['six.test:80', `[${six}]:80`],
      resolve,
    });
    expect(stdout).toBe(`outside six.test /\noutside [${six}] /`);
  });

  lab('data of a server that speaks first is received immediately', async () => {
    const { stdout } = await egress(
      '/probe read 198.18.0.16 2222 || true; /probe named good.test 2222',
      { allow: ['good.test:2222'], resolve },
      {
        mounts: [{ type: 'bind', source: staticProbe, target: '/probe' }],
      },
    );
    expect(stdout).toContain('hello from the server');
  });

  lab('programs inside still reach each other over loopback', async () => {
    const code = `const s = require('net').createServer((c) => c.end('inside')).listen(80, '0.0.0.0', () =>
      require('net').connect(80, '127.0.0.1').on('data', (d) => { console.log(String(d)); s.close(); }));`;
    const result = await spawnIsolated(process.execPath, ['-e', code], {
      preset: 'node',
      network: { egress: { allow: ['good.test'], resolve } },
    });
    expect(result.stdout).toBe('inside');
  });
});

describe('name resolution', () => {
  lab('uses the name servers of this process, with several queries at a time', async () => {
    const server = createSocket('udp4');
    server.on('message', (message, from) => {
      const query = decodeQuery(message);
      const known = query?.type === 1 && query.name.endsWith('.names.test');
      // The answer is delayed, so that several queries are pending at a time.
      if (query)
        setTimeout(() => server.send(encodeAnswer(query, { code: 0, addresses: known ? [outside] : [] }), from.port, from.address), 30);
    });
    await new Promise<void>((done) => server.bind(53, elsewhere, done));
    const before = getServers();
    setServers([elsewhere]);
    try {
      const line = 'for i in 1 2 3 4 5 6; do curl -sS http://$i.names.test/ & done; wait';
      const { stdout } = await egress(line, { allow: ['*.names.test'] });
      expect(stdout.split('\n').sort()).toEqual([1, 2, 3, 4, 5, 6].map((number) => `outside ${number}.names.test /`));
    } finally {
      setServers(before);
      server.close();
    }
  });
});

describe('services', () => {
  lab('a function can answer for a name and add data that the program must not know', async () => {
    const services = {
      'api.local:80': (socket: Duplex) => {
        socket.once('data', (data: Buffer) => {
          const ok = data.includes('GET /me');
          socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n${ok ? 'secret\n' : 'nothing'}`);
        });
      },
    };
    const { stdout, events } = await egress('curl -sS http://api.local/me', { services });
    expect(stdout).toBe('secret');
    expect(events).toContainEqual(expect.objectContaining({ kind: 'connect', name: 'api.local', to: 'service' }));
  });
});

describe('without nftables', () => {
  lab('listeners on the allowed ports accept connections', async () => {
    const { stdout, report } = await egress(
      'curl -sS http://good.test/; curl -sS http://bad.test/; echo $?; /probe connect 1.2.3.4 9',
      {
        allow: ['good.test:80'],
        via: 'ports',
        resolve,
      },
      { mounts: [{ type: 'bind', source: staticProbe, target: '/probe' }] },
    );
    expect(stdout.split('\n')).toEqual(['outside good.test /', '6', 'connect: ECONNREFUSED']);
    expect(report.network?.via).toBe('ports');
  });
});
