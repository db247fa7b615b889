import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { getServers, setServers } from 'node:dns';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { createServer as createRaw, type Socket } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { type EgressContext, type EgressEvent, type EgressOptions, Sandbox, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { decodeQuery, encodeAnswer } from '../../dist/egress/dns-message';
import { openDescriptors } from '../leaks/processes';
import { rejection, sleep, testIf, thrown } from '../support';
import { egress, elsewhere, inLab, labNeeded, outside, six, World } from './world';

const lab = (name: string, body: () => Promise<unknown>) => testIf(inLab, labNeeded, name, body);
/** What curl ends with when a connection is reset: before it looks, or after. */
const reset = expect.stringMatching(/^(7|56)$/);
const world = new World();
const { resolve } = world;
const staticProbe = join(__dirname, '../../build/test/net-probe');

/** The longest time that this thread did nothing else. */
async function busy(during: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 5);
  await during();
  clearInterval(timer);
  return Math.max(longest, performance.now() - last);
}

beforeAll(() => (inLab ? world.open() : undefined));
afterAll(() => (inLab ? world.close() : undefined));
beforeEach(() => {
  world.seen.length = 0;
  world.asked = [];
});

describe('without a variable set', () => {
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

  lab('so does fetch of Node', async () => {
    const code = "fetch('http://good.test/n').then((r) => r.text()).then(console.log)";
    const result = await spawnIsolated(process.execPath, ['-e', code], {
      preset: 'node',
      network: { egress: { allow: ['good.test:80'], resolve } },
    });
    expect(result.stdout.trim()).toBe('outside good.test /n');
  });

  lab('so does Python', async () => {
    const code = "import urllib.request as u; print(u.urlopen('http://good.test/p').read().decode().strip())";
    const { stdout, stderr } = await egress(`/usr/bin/python3 -c "${code}"`, { allow: ['good.test:80'], resolve }, { preset: 'build' });
    expect({ stdout, stderr }).toEqual({ stdout: 'outside good.test /p', stderr: '' });
  });

  lab('so does git by HTTPS', async () => {
    const repository = join(world.folder.path, 'repository');
    const git = (...args: string[]) => execFileSync('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args]);
    execFileSync('git', ['init', '-q', '-b', 'main', repository]);
    git('commit', '-q', '--allow-empty', '-m', 'first');
    git('update-server-info');
    const pem = (name: string) => readFileSync(join(world.folder.path, name));
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

  lab('so does a static program that has its own resolver', async () => {
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
    expect(refused).toEqual([]);
  });

  lab('a name of IPv6 alone is reached, and an address of IPv6 that is listed', async () => {
    const { stdout } = await egress(`curl -sS http://six.test/; curl -sS -g 'http://[${six}]/'`, {
      allow: ['six.test:80', `[${six}]:80`],
      resolve,
    });
    expect(stdout).toBe(`outside six.test /\noutside [${six}] /`);
  });

  lab('a server that speaks first is heard at once', async () => {
    const { stdout } = await egress(
      '/probe read 198.18.0.16 2222 || true; /probe named good.test 2222',
      { allow: ['good.test:2222'], resolve },
      {
        mounts: [{ type: 'bind', source: staticProbe, target: '/probe' }],
      },
    );
    expect(stdout).toContain('hello from the server');
  });

  lab('programs inside still reach each other by loopback', async () => {
    const code = `const s = require('net').createServer((c) => c.end('inside')).listen(80, '0.0.0.0', () =>
      require('net').connect(80, '127.0.0.1').on('data', (d) => { console.log(String(d)); s.close(); }));`;
    const result = await spawnIsolated(process.execPath, ['-e', code], {
      preset: 'node',
      network: { egress: { allow: ['good.test'], resolve } },
    });
    expect(result.stdout).toBe('inside');
  });
});

describe('what is not allowed fails at once', () => {
  const mounts = [{ type: 'bind', source: staticProbe, target: '/probe' }] as const;

  lab('a name: it does not exist, and nobody outside was asked', async () => {
    const started = performance.now();
    const { stdout, events } = await egress('curl -sS http://secret.attacker.test/; echo $?', { allow: ['good.test'], resolve });
    expect(stdout).toBe('6');
    expect(world.asked).toEqual([]);
    expect(events).toContainEqual(expect.objectContaining({ kind: 'lookup', name: 'secret.attacker.test', allowed: false }));
    expect(performance.now() - started).toBeLessThan(5000);
  });

  lab('an address: refused by the kernel, with an event that names program and port', async () => {
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

  lab('another port of an allowed name: reset', async () => {
    const { stdout, refused } = await egress('/probe named good.test 22', { allow: ['good.test:80'], resolve }, { mounts });
    expect(stdout).toBe('read: ECONNRESET');
    expect(refused).toEqual([expect.objectContaining({ name: 'good.test', port: 22, reason: 'unlisted' })]);
    expect(refused[0]?.program).toMatchObject({ command: 'probe' });
  });

  lab('UDP, ping and raw sockets', async () => {
    const { stdout, refused } = await egress(
      '/probe udp 8.8.8.8 443; /probe raw; /probe ping 8.8.8.8',
      { allow: ['*'], resolve },
      { mounts },
    );
    expect(stdout.split('\n')).toEqual(['udp: ECONNREFUSED', 'raw: EAFNOSUPPORT', 'ping: EAFNOSUPPORT']);
    expect(refused).toContainEqual(expect.objectContaining({ protocol: 'udp', address: '8.8.8.8', port: 443 }));
  });

  lab('abstract sockets of the host', async () => {
    // libuv makes one of a name that begins with a zero.
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

  lab('special addresses, however they are written, even with allow: *', async () => {
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

  lab('names that lead to special addresses', async () => {
    const hosts = ['local.test', 'mapped.test', 'metadata.test', 'private.test', 'zero.test'];
    const { stdout, refused } = await egress(hosts.map((host) => `curl -sS http://${host}:8088/; echo $?`).join('; '), {
      allow: ['*'],
      resolve,
    });
    expect(stdout.split('\n')).toEqual(hosts.map(() => reset));
    expect(refused.map(({ reason }) => reason)).toEqual(hosts.map(() => 'special-address'));
    expect(world.seen).toEqual([]);
  });

  lab('a name that leads elsewhere the second time', async () => {
    let count = 0;
    const rebinding = () => (count++ === 0 ? [outside] : ['127.0.0.1']);
    const { stdout } = await egress('curl -sS http://rebind.test/; sleep 0.1; curl -sS http://rebind.test:8088/; echo $?', {
      allow: ['rebind.test'],
      resolve: rebinding,
    });
    // It was looked up once; the second connection goes to the same address, where nobody listens on that port.
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

  lab('a denied name is not reached by its address either', async () => {
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

  lab('a wildcard does not name what is above it', async () => {
    const { stdout } = await egress('curl -sS http://www.wild.test/; curl -sS http://wild.test/; echo $?', {
      allow: ['*.wild.test'],
      resolve,
    });
    expect(stdout.split('\n')).toEqual(['outside www.wild.test /', '6']);
  });
});

describe('a connection to a name is for that name', () => {
  const send = (text: string, port = 80) => `printf '${text}' | /probe send good.test ${port}`;
  const mounts = () => [
    { type: 'bind', source: staticProbe, target: '/probe' } as const,
    { type: 'bind', source: world.ca, target: '/ca.pem' } as const,
  ];
  const only = { allow: ['good.test'], resolve };

  lab('TLS for another name, or for none, is cut', async () => {
    const { stdout, refused } = await egress(
      'curl -sS --cacert /ca.pem --connect-to other.test:443:good.test:443 https://other.test/; echo $?; curl -skS --connect-to 1.1.1.1:443:good.test:443 https://1.1.1.1/; echo $?',
      only,
      { mounts: mounts() },
    );
    expect(stdout.split('\n')).toEqual(['35', '35']);
    expect(refused.map(({ reason, detail }) => [reason, detail])).toEqual([
      ['server-name', 'other.test'],
      ['server-name', 'none'],
    ]);
    expect(world.seen).toEqual([]);
  });

  const hidden: readonly (readonly [string, string])[] = [
    ['another host', 'GET / HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n'],
    ['no host', 'GET / HTTP/1.0\\r\\n\\r\\n'],
    ['two hosts', 'GET / HTTP/1.1\\r\\nHost: good.test\\r\\nHost: other.test\\r\\n\\r\\n'],
    ['another host in its URL', 'GET http://other.test/ HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n'],
    ['a line break first', '\\r\\nGET / HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n'],
    [
      'another host in its second request',
      'GET /1 HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\nGET /2 HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n',
    ],
    [
      'two lengths',
      'POST /3 HTTP/1.1\\r\\nHost: good.test\\r\\nContent-Length: 6\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET /4 HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n',
    ],
    [
      'two different lengths',
      'POST /3 HTTP/1.1\\r\\nHost: good.test\\r\\nContent-Length: 0\\r\\nContent-Length: 60\\r\\n\\r\\nGET /4 HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n',
    ],
    [
      'an upgrade to HTTP/2',
      'GET / HTTP/1.1\\r\\nHost: good.test\\r\\nConnection: Upgrade, HTTP2-Settings\\r\\nUpgrade: h2c\\r\\nHTTP2-Settings: AAMAAABk\\r\\n\\r\\n',
    ],
    ['HTTP/2 at once', 'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n'],
    ['CONNECT', 'CONNECT other.test:80 HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n'],
    ['a header with a hidden line', 'GET / HTTP/1.1\\r\\nHost: good.test\\r\\nX: a\\nHost: other.test\\r\\n\\r\\n'],
    ['what is no HTTP', 'hello there\\r\\n\\r\\n'],
  ];
  for (const [what, text] of hidden) {
    lab(`HTTP with ${what} does not reach another host`, async () => {
      const { refused } = await egress(send(text), only, { mounts: mounts() });
      expect(world.seen.filter(({ host }) => host !== 'good.test')).toEqual([]);
      expect(world.seen.filter(({ url }) => url === '/4')).toEqual([]);
      expect(refused.length).toBeGreaterThan(0);
    });
  }

  lab('HTTP on another port as well', async () => {
    const { refused } = await egress('curl -sS -H "Host: other.test" http://local.test:8088/', {
      allow: ['local.test:8088', '127.0.0.1'],
      resolve,
    });
    expect(refused).toEqual([expect.objectContaining({ reason: 'host', detail: 'other.test' })]);
    expect(world.seen).toEqual([]);
  });

  lab('bodies, keep-alive and WebSockets go through', async () => {
    const server = createServer((_, response) => response.end('no'));
    server.on('upgrade', (request, socket) => {
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello ${request.headers.host}`);
      socket.end();
    });
    await world.listen(server, outside, 8090);
    const upgrade =
      'GET /s HTTP/1.1\\r\\nHost: good.test:8090\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Key: x\\r\\n\\r\\n';
    const { stdout } = await egress(
      `curl -sS -d body http://good.test/1 http://good.test/2 -H 'Transfer-Encoding: chunked'; ${send(upgrade, 8090)}`,
      { allow: ['good.test'], resolve },
      { mounts: mounts() },
    );
    expect(world.seen.map(({ url, body }) => [url, body])).toEqual([
      ['/1', 'body'],
      ['/2', 'body'],
    ]);
    expect(stdout).toContain('101 Switching Protocols');
    expect(stdout).toContain('hello good.test:8090');
  });

  lab('a request with a body neither ends the connection for those behind it nor cuts its answer', async () => {
    const size = 30 << 20;
    const server = createServer((request, response) => {
      request.resume();
      request.once('end', () => response.end(Buffer.alloc(request.url === '/long' ? size : 2)));
    });
    await world.listen(server, outside, 8095);
    const get = (path: string) => `-o /dev/null -w '%{num_connects} %{size_download}\\n' http://good.test:8095${path}`;
    const { stdout } = await egress(
      `curl -sS -d body ${get('/1')} --next -sS ${get('/2')} --next -sS -d body ${get('/long')} --next -sS ${get('/4')}`,
      {
        allow: ['good.test:8095'],
        resolve,
      },
    );
    expect(stdout).toBe(`1 2\n0 2\n0 ${size}\n0 2`);
  });

  lab('a request in pieces, with pauses between them', async () => {
    let got = '';
    await world.listen(
      createRaw((socket) =>
        socket.on('data', (data) => {
          got += data.toString();
        }),
      ),
      outside,
      8091,
    );
    const rest = 'TP/1.1\\r\\nHost: other.test\\r\\n\\r\\n';
    const line = `(printf 'GET / HT'; sleep 0.5; printf '${rest}'; sleep 0.2) | /probe send good.test 8091`;
    const { refused } = await egress(line, only, { mounts: mounts() });
    expect(refused).toEqual([expect.objectContaining({ reason: 'protocol', detail: 'a request in pieces' })]);
    expect(got).toBe('GET / HT');
  });

  lab('half a greeting of TLS reaches nobody', async () => {
    let got = 0;
    await world.listen(
      createRaw((socket) =>
        socket.on('data', (data) => {
          got += data.length;
        }),
      ),
      outside,
      8094,
    );
    const { refused } = await egress(send('\\026\\003\\001\\000\\120\\001', 8094), only, { mounts: mounts() });
    expect(refused).toEqual([expect.objectContaining({ reason: 'protocol' })]);
    expect(got).toBe(0);
  });

  lab('a host that is to be taken off stays', async () => {
    await egress(send('GET /off HTTP/1.1\\r\\nHost: good.test\\r\\nConnection: Host, close\\r\\n\\r\\n'), only, { mounts: mounts() });
    expect(world.seen).toEqual([expect.objectContaining({ host: 'good.test', url: '/off' })]);
  });

  lab('a few bytes and an end are passed on', async () => {
    const { stdout } = await egress("printf x | /probe send good.test 7; printf 'GET' | /probe send good.test 7", only, {
      mounts: mounts(),
    });
    expect(stdout).toBe('xGET');
  });

  lab('an answer that may not be sent on is none, and this process goes on', async () => {
    const odd = createRaw((socket) => socket.once('data', () => socket.end('HTTP/1.1 200 a\x01b\r\nX: \x07\r\nContent-Length: 0\r\n\r\n')));
    await world.listen(odd, outside, 8092);
    const { stdout } = await egress("curl -sS -o /dev/null -w '%{http_code}' http://good.test:8092/", only);
    expect(stdout).toMatch(/502|000/);
  });

  lab('checkNames: false leaves it to the program', async () => {
    const { stdout } = await egress('curl -sS -H "Host: other.test" http://good.test/', { ...only, checkNames: false });
    expect(stdout).toBe('outside other.test /');
  });
});

describe('onConnect', () => {
  lab('sees what is asked for, and its answer counts', async () => {
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
    // Names that no list has are not asked for before it has said yes.
    expect(world.asked).toEqual(['good.test']);
  });

  lab('cannot lead to the host by a name', async () => {
    const { refused } = await egress('curl -sS http://local.test/; curl -sS http://good.test/', {
      resolve,
      deny: [`${outside}/32`],
      onConnect: ({ name }) => ({ redirect: `${name}:8088` }),
    });
    expect(refused.map(({ reason }) => reason)).toEqual(['special-address', 'denied']);
    expect(world.seen).toEqual([]);
  });

  lab('may speak for the server itself', async () => {
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

  lab('cannot open what is special by saying yes to all', async () => {
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

  lab('refuses when it throws, answers nonsense, or takes too long', async () => {
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

describe('names of the outside', () => {
  lab('are those of the name servers of this process, many at once', async () => {
    const server = createSocket('udp4');
    server.on('message', (message, from) => {
      const query = decodeQuery(message);
      const known = query?.type === 1 && query.name.endsWith('.names.test');
      // Not at once: several wait.
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
  lab('a name that is a function, which adds what the program must not know', async () => {
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

describe('proxies inside', () => {
  lab('programs that follow the variables use them', async () => {
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
    lab(`${what} is answered 403`, async () => {
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

describe('what a program gives up on', () => {
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
    lab(`${what}: no connection stays`, async () => {
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

describe('limits', () => {
  const probe = { mounts: [{ type: 'bind', source: staticProbe, target: '/probe' }] } as const;

  lab('connections at one time', async () => {
    const { stdout, refused } = await egress('/probe many good.test 7 12', { allow: ['good.test:7'], connections: 4, resolve }, probe);
    expect(stdout).toBe('4 of 12');
    expect(refused.filter(({ reason }) => reason === 'limit').length).toBeGreaterThanOrEqual(8);
  });

  lab('bytes over all', async () => {
    const line = 'head -c 300000 /dev/zero | /probe send good.test 7 | wc -c';
    const { stdout } = await egress(line, { allow: ['good.test:7'], bytes: 200_000, resolve }, probe);
    expect(Number(stdout)).toBeLessThan(200_000);
  });

  lab('a rate', async () => {
    const started = performance.now();
    const line = 'head -c 200000 /dev/zero | /probe send good.test 7 | wc -c';
    const { stdout } = await egress(line, { allow: ['good.test:7'], rate: 100_000, resolve }, probe);
    expect(stdout).toBe('200000');
    expect(performance.now() - started).toBeGreaterThan(1000);
  });

  lab('a rate, of HTTP as well, and each answer once', async () => {
    const { stdout, events } = await egress('curl -sS http://good.test/once', { allow: ['good.test'], rate: 50_000, resolve });
    expect(stdout).toBe('outside good.test /once');
    const started = performance.now();
    await egress('head -c 60000 /dev/zero | curl -sS -T - http://good.test/put', { allow: ['good.test'], rate: 20_000, resolve });
    expect(performance.now() - started).toBeGreaterThan(1500);
    expect(events.filter(({ kind }) => kind === 'close')).toHaveLength(1);
  });

  lab('requests that nobody waits for an answer to', async () => {
    const silent = createRaw((socket) => socket.resume());
    await world.listen(silent, outside, 8093);
    const request = 'GET / HTTP/1.1\\r\\nHost: good.test:8093\\r\\n\\r\\n';
    const { refused } = await egress(
      `(for i in $(seq 100); do printf '${request}'; done; sleep 0.5) | /probe send good.test 8093`,
      { allow: ['good.test'], resolve },
      probe,
    );
    expect(refused[0]).toMatchObject({ reason: 'limit', detail: 'requests' });
  });

  lab('a flood leaves this process time for other things', async () => {
    const started = performance.now();
    let refused: readonly EgressEvent[] = [];
    const longest = await busy(async () => {
      ({ refused } = await egress('/probe flood good.test 22 10000', { allow: ['good.test:80'], resolve }, probe));
    });
    expect(refused.length).toBeGreaterThan(0);
    // Of events no more than so many a second are told.
    expect(refused.length).toBeLessThanOrEqual(200 * (2 + Math.ceil((performance.now() - started) / 1000)));
    expect(longest).toBeLessThan(1500);
  });
});

describe('a flood', () => {
  const dns = (piece: string) =>
    `use IO::Socket::INET; $SIG{PIPE} = "IGNORE"; my @s; for (1..200) { my $s = IO::Socket::INET->new("9.9.9.9:53") or next; $s->blocking(0); push @s, $s }
     my $piece = ${piece}; my $end = time + 3; while (time < $end) { syswrite $_, $piece for @s }`;
  const question = 'pack("n", 26) . "\\0\\1\\1\\0\\0\\1" . "\\0" x 6 . "\\3bad\\4test\\0\\0\\1\\0\\1"';
  for (const [what, piece] of [
    ['of questions', `(${question}) x 2300`],
    ['of nothing', '"\\0" x 65536'],
  ] as const) {
    lab(`${what} over TCP leaves this process time for other things`, async () => {
      const longest = await busy(() => egress(`perl -e '${dns(piece)}'`, { allow: ['good.test'], resolve }));
      expect(longest).toBeLessThan(1500);
    });
  }

  lab('of questions in vain hides no connection', async () => {
    const code = `use Socket; for (1..3000) { gethostbyname("n$_.bad.test") }`;
    const sandbox = await Sandbox.open({ network: { egress: { allow: ['good.test'], resolve, proxy: true } } });
    const events: EgressEvent[] = [];
    sandbox.events.on('egress', (event) => events.push(event));
    const flood = sandbox.spawn('perl', ['-e', code], { reject: false });
    const names = `use IO::Socket::INET; for (1..1200) { my $s = IO::Socket::INET->new("127.0.0.1:3128") or next; print $s "CONNECT n$_.test:1 HTTP/1.1\r\n\r\n"; <$s> }`;
    const refusals = sandbox.spawn('perl', ['-e', names], { reject: false });
    for (let count = 0; count < 20; count++) await sandbox.spawn('curl', ['-sS', '--noproxy', '*', 'http://good.test/']);
    await Promise.all([flood, refusals]);
    const connected = events.filter((event) => event.kind === 'connect' && event.name === 'good.test');
    expect(connected).toHaveLength(20);
    expect(sandbox.stats().egress?.['good.test']).toMatchObject({ connections: 20 });
    await sandbox.close();
    const told = events.filter(({ kind }) => kind === 'lookup').length;
    const dropped = events.reduce((sum, event) => sum + (event.kind === 'dropped' ? event.count : 0), 0);
    expect(dropped).toBeGreaterThan(0);
    expect(told + dropped).toBeGreaterThanOrEqual(3000);
  });
});

describe('a long-lived sandbox', () => {
  lab('tells of its way out, and counts by name', async () => {
    const sandbox = await Sandbox.open({ network: { egress: { allow: ['good.test'], resolve } } });
    try {
      const events: EgressEvent[] = [];
      sandbox.events.on('egress', (event) => events.push(event));
      await sandbox.spawn('/bin/sh', ['-c', 'curl -sS http://good.test/; curl -sS http://good.test/']);
      await sleep(20);
      const { egress: totals } = sandbox.stats();
      expect(totals).toEqual({ 'good.test': { connections: 2, refused: 0, sent: expect.any(Number), received: expect.any(Number) } });
      expect(totals?.['good.test']?.received).toBeGreaterThan(100);
      expect(sandbox.report.network).toEqual({ resolvers: ['198.18.0.1'], via: 'nftables' });
      expect(events.filter(({ kind }) => kind === 'close')).toHaveLength(2);
    } finally {
      await sandbox.close();
    }
  });

  lab('what is inside cannot change it', async () => {
    const { stdout } = await egress(
      'ip route add 10.0.0.0/8 dev lo 2>&1 | head -1; id -u',
      { allow: ['good.test'], resolve },
      {
        preset: 'container',
      },
    );
    expect(stdout).toContain('Operation not permitted');
  });
});

describe('without nftables', () => {
  lab('listeners on the named ports take connections', async () => {
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

describe('a thread of its own', () => {
  lab('decides by lists and by a function of this thread, tells and counts', async () => {
    const asked: EgressContext[] = [];
    const sandbox = await Sandbox.open({
      network: {
        egress: {
          worker: true,
          deny: ['bad.test'],
          onConnect: (context) => {
            asked.push(context);
            return context.name === 'moved.test' ? { redirect: `${outside}:80` } : undefined;
          },
        },
      },
    });
    const events: EgressEvent[] = [];
    sandbox.events.on('egress', (event) => events.push(event));
    const { stdout } = await sandbox.spawn(
      '/bin/sh',
      ['-c', 'curl -sS http://moved.test/; curl -sS http://other.test/; echo $?; curl -sS http://bad.test/; echo $?'],
      {
        reject: false,
      },
    );
    expect(stdout.split('\n')).toEqual(['outside moved.test /', reset, '6']);
    expect(asked.map(({ name, port }) => [name, port])).toEqual([
      ['moved.test', 80],
      ['other.test', 80],
    ]);
    expect(asked[0]?.program()?.command).toBe('curl');
    await sleep(250);
    expect(events.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['lookup', 'connect', 'request', 'refused', 'close']));
    expect(sandbox.stats().egress).toMatchObject({ 'moved.test': { connections: 1 }, 'other.test': { refused: 1 } });
    await sandbox.close();
  });

  lab('ends with the sandbox', async () => {
    await spawnIsolated('true', [], { network: { egress: { worker: true } } });
    const fds = openDescriptors();
    for (let index = 0; index < 5; index++) await spawnIsolated('true', [], { network: { egress: { worker: true } } });
    await sleep(500);
    expect(openDescriptors()).toBeLessThanOrEqual(fds + 2);
  });
});

lab('a thread that is ended leaves nothing of its ways out', async () => {
  const code = `const { parentPort } = require('node:worker_threads');
    const { Sandbox } = require(${JSON.stringify(require.resolve('nsjs'))});
    const open = () => Sandbox.open({ network: { egress: { allow: ['good.test'] } } });
    Promise.all([open(), open(), open()]).then(() => parentPort.postMessage('open'))`;
  const round = async () => {
    const worker = new Worker(code, { eval: true });
    expect(await once(worker, 'message')).toEqual(['open']);
    await worker.terminate();
  };
  await round();
  await sleep(500);
  const fds = openDescriptors();
  for (let index = 0; index < 4; index++) await round();
  for (let waited = 0; openDescriptors() > fds && waited < 2000; waited += 50) await sleep(50);
  expect(openDescriptors()).toBeLessThanOrEqual(fds);
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

  test('without a user namespace of its own a program would have rights over it', () => {
    const given = { namespaces: { user: false }, landlock: 'require', network: {} } as const;
    expect(thrown(() => spawnIsolated('true', [], given))).toMatchObject({ path: 'network' });
  });

  test('a blocking call cannot decide on connections', () => {
    expect(thrown(() => spawnIsolatedSync('true', [], { network: { egress: {} } }))).toMatchObject({ path: 'network.egress' });
  });

  test('sysctls are in force, and those that the kernel refuses are errors', async () => {
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
