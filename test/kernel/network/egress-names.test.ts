import { createServer } from 'node:http';
import { createServer as createRaw } from 'node:net';
import { egress, inLab, lab, outside, staticProbe, World } from './world';

const world = new World();

const { resolve } = world;

beforeAll(() => (inLab ? world.open() : undefined));

afterAll(() => (inLab ? world.close() : undefined));

beforeEach(() => {
  world.seen.length = 0;
  world.asked = [];
});

describe('a connection to a name carries only requests for that name', () => {
  const send = (text: string, port = 80) => `printf '${text}' | /probe send good.test ${port}`;
  const mounts = () => [
    { type: 'bind', source: staticProbe, target: '/probe' } as const,
    { type: 'bind', source: world.ca, target: '/ca.pem' } as const,
  ];
  const only = { allow: ['good.test'], resolve };

  lab('TLS for another name, or without a name, is refused', async () => {
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

  lab('the host of a request is checked on other ports as well', async () => {
    const { refused } = await egress('curl -sS -H "Host: other.test" http://local.test:8088/', {
      allow: ['local.test:8088', '127.0.0.1'],
      resolve,
    });
    expect(refused).toEqual([expect.objectContaining({ reason: 'host', detail: 'other.test' })]);
    expect(world.seen).toEqual([]);
  });

  lab('request bodies, keep-alive and WebSockets work', async () => {
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

  lab('a request with a body neither ends the connection for later requests nor truncates its answer', async () => {
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

  lab('a request that continues after a pause is refused if it names another host', async () => {
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
    expect(refused).toEqual([expect.objectContaining({ reason: 'protocol', detail: expect.stringContaining('began too late') })]);
    expect(got).toBe('GET / HT');
  });

  lab('an incomplete ClientHello does not reach the server', async () => {
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

  lab('a Host header that Connection lists is not removed', async () => {
    await egress(send('GET /off HTTP/1.1\\r\\nHost: good.test\\r\\nConnection: Host, close\\r\\n\\r\\n'), only, { mounts: mounts() });
    expect(world.seen).toEqual([expect.objectContaining({ host: 'good.test', url: '/off' })]);
  });

  lab('a stream that ends after a few bytes is passed on', async () => {
    const { stdout } = await egress("printf x | /probe send good.test 7; printf 'GET' | /probe send good.test 7", only, {
      mounts: mounts(),
    });
    expect(stdout).toBe('xGET');
  });

  lab('a malformed response is not passed on, and this process keeps running', async () => {
    const odd = createRaw((socket) => socket.once('data', () => socket.end('HTTP/1.1 200 a\x01b\r\nX: \x07\r\nContent-Length: 0\r\n\r\n')));
    await world.listen(odd, outside, 8092);
    const { stdout } = await egress("curl -sS -o /dev/null -w '%{http_code}' http://good.test:8092/", only);
    expect(stdout).toMatch(/502|000/);
  });

  lab('checkNames: false disables the check', async () => {
    const { stdout } = await egress('curl -sS -H "Host: other.test" http://good.test/', { ...only, checkNames: false });
    expect(stdout).toBe('outside other.test /');
  });
});
