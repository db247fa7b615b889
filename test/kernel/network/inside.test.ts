import { execFileSync, spawnSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createServer, get } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Sandbox } from 'nsjs';
import * as netlink from 'nsjs/sys/netlink';
import { isRoot, rejection, sleep, temporaryDirectory, testIf, thrown } from '../../support';

let sandbox: Sandbox;
const hasTcpdump = spawnSync('tcpdump', ['--version']).status === 0;

beforeAll(async () => {
  sandbox = await Sandbox.open({ preset: 'node', network: {} });
  const raw: Readonly<Record<string, string>> = {
    '/upgraded': 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n',
    '/999': 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n',
  };
  const server = createServer((request, response) => {
    const odd = raw[request.url ?? ''];
    if (odd !== undefined) {
      request.socket.end(odd);
      return;
    }
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      response.writeHead(request.url === '/missing' ? 404 : 200, { 'x-method': request.method });
      response.end(`${request.url} ${body}`);
    });
  });
  await sandbox.net.listen(server, 80, '127.0.0.1');
});
afterAll(() => sandbox.close());

describe('this process reaches servers inside the sandbox', () => {
  test('an HTTP agent connects to a server', async () => {
    const text = await new Promise((resolve, reject) => {
      get({ agent: sandbox.net.agent, path: '/agent' }, (response) => response.on('data', (data) => resolve(String(data)))).on(
        'error',
        reject,
      );
    });
    expect(text).toBe('/agent ');
  });

  test('fetch supports a body, a status and headers', async () => {
    const response = await sandbox.net.fetch('http://localhost/a', { method: 'POST', body: 'hello' });
    expect(await response.text()).toBe('/a hello');
    expect(response.headers.get('x-method')).toBe('POST');
    expect((await sandbox.net.fetch(new URL('http://127.0.0.1/missing'))).status).toBe(404);
    expect(await rejection(sandbox.net.fetch('http://localhost:81/'))).toMatchObject({ code: 'ECONNREFUSED' });
    expect(await rejection(sandbox.net.fetch('http://localhost/upgraded'))).toMatchObject({ name: 'TypeError' });
    expect(await rejection(sandbox.net.fetch('http://localhost/999'))).toMatchObject({ name: 'RangeError' });
    expect(await rejection(sandbox.net.fetch('ftp://localhost/'))).toMatchObject({ name: 'OptionError' });
  });

  test('fetch verifies TLS certificates', async () => {
    const directory = temporaryDirectory();
    const pem = ['-keyout', 'key.pem', '-out', 'cert.pem', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', ...pem], {
      cwd: directory.path,
      stdio: 'pipe',
    });
    const { readFileSync } = jest.requireActual<typeof import('node:fs')>('node:fs');
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => readFileSync(join(directory.path, name)));
    directory.remove();
    const server = createHttps({ key, cert } as object, (_, response) => response.end('secure'));
    await sandbox.net.listen(server, 443, '127.0.0.1');
    // The certificate is self-signed.
    expect(await rejection(sandbox.net.fetch('https://localhost/'))).toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  });

  test('a published port of the host leads to a server', async () => {
    const published = await sandbox.net.publish({ to: 80 });
    const text = await new Promise((resolve, reject) => {
      get({ port: published.port, path: '/p' }, (response) => response.on('data', (data) => resolve(String(data)))).on('error', reject);
    });
    expect(text).toBe('/p ');
    expect(published.host).toBe('127.0.0.1');
    published.close();
    expect(await rejection(sandbox.net.publish({ to: 80, port: 70_000 }))).toMatchObject({ path: 'port' });
    expect(await rejection(sandbox.net.publish({ to: 0 }))).toMatchObject({ path: 'to' });
  });

  test('a published port is closed with the sandbox', async () => {
    const other = await Sandbox.open();
    const { port } = await other.net.publish({ to: 80 });
    await other.close();
    const code = await new Promise((resolve) =>
      connect(port, '127.0.0.1').on('error', (error: NodeJS.ErrnoException) => resolve(error.code)),
    );
    expect(code).toBe('ECONNREFUSED');
  });
});

describe('a packet capture', () => {
  testIf(hasTcpdump, 'tcpdump', 'can be read by tcpdump', async () => {
    const directory = temporaryDirectory();
    const file = join(directory.path, 'frames.pcapng');
    const capture = sandbox.net.capture();
    const written = pipeline(capture, createWriteStream(file));
    await (await sandbox.net.fetch('http://localhost/captured')).text();
    await sleep(50);
    (capture as unknown as { end(): void }).end();
    await written;
    const text = execFileSync('tcpdump', ['-nn', '-A', '-r', file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    directory.remove();
    expect(text).toContain('127.0.0.1.80');
    expect(text).toContain('GET /captured');
    expect(text.match(/HTTP: GET \/captured/g)).toHaveLength(1);
  });

  test('ends with the sandbox', async () => {
    const other = await Sandbox.open();
    const capture = other.net.capture({ snapLength: 64 });
    const ended = new Promise((resolve) => capture.on('end', resolve));
    capture.resume();
    await other.close();
    await ended;
    expect(thrown(() => other.net.capture())).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    expect(thrown(() => sandbox.net.capture({ snapLength: 1 }))).toMatchObject({ path: 'snapLength' });
  });
});

describe('netlink', () => {
  const inside = () => netlink.NetlinkSocket.open('route', sandbox.net.namespaces);

  test('creates and changes interfaces, addresses, routes, rules, neighbours and queues, and reads them back', () => {
    const route = inside();
    try {
      route.request(netlink.createVeth({ name: 'a0', mtu: 1400 }, { name: 'b0', mac: '02:00:00:00:00:09' }));
      route.request(netlink.createLink('bridge', { name: 'br0' }));
      const linksNow = () => route.get(netlink.dumpLinks()).flatMap((message) => netlink.decodeLink(message) ?? []);
      const index = (name: string) => linksNow().find((link) => link.name === name)?.index ?? -1;
      route.request(netlink.setMaster(index('a0'), index('br0')));
      route.request(netlink.setIsolated(index('a0'), true));
      route.request(netlink.setAlias(index('br0'), 'of the test'));
      route.request(netlink.addAddress(index('b0'), { address: '10.5.0.2', prefix: 24 }));
      for (const name of ['a0', 'b0', 'br0']) route.request(netlink.setLinkUp(index(name)));
      route.request(netlink.addRoute({ gateway: '10.5.0.1' }));
      route.request(netlink.addRoute({ destination: { address: '10.6.0.0', prefix: 16 }, gateway: '10.5.0.9', table: 1000 }));
      route.request(
        netlink.addRule({ family: 'inet', destination: { address: '10.7.0.0', prefix: 16 }, protocol: 6, ports: [80, 90], action: 1000 }),
      );
      route.request(netlink.addNeighbour(index('b0'), '10.5.0.1', Buffer.from('020000000001', 'hex')));
      route.request(netlink.addTokenBucket(index('b0'), { rate: 1_000_000, burst: 10_000, limit: 100_000 }));
      expect(linksNow()).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ name: 'a0', kind: 'veth', mtu: 1400, up: true, master: index('br0') }),
          expect.objectContaining({ name: 'b0', mac: '02:00:00:00:00:09' }),
          expect.objectContaining({ name: 'br0', kind: 'bridge', alias: 'of the test' }),
        ]),
      );
      const addresses = route.get(netlink.dumpAddresses()).flatMap((message) => netlink.decodeAddress(message) ?? []);
      expect(addresses).toContainEqual({ index: index('b0'), address: '10.5.0.2', prefix: 24, scope: 'global', permanent: true });
      const routes = route.get(netlink.dumpRoutes('inet')).flatMap((message) => netlink.decodeRoute(message) ?? []);
      expect(routes).toContainEqual(
        expect.objectContaining({ gateway: '10.5.0.1', type: 'unicast', destination: { address: '0.0.0.0', prefix: 0 } }),
      );
      expect(routes).toContainEqual(expect.objectContaining({ gateway: '10.5.0.9', table: 1000 }));
      route.request(netlink.deleteRootQdisc(index('b0')));
      route.request(netlink.deleteLink(index('br0')));
    } finally {
      route.close();
    }
  });

  test('a refused request has the error text of the kernel as its hint', () => {
    const route = inside();
    const error = thrown(() => route.request(netlink.addRoute({ gateway: '203.0.113.1' }), 'the test'));
    route.close();
    expect(error).toMatchObject({
      code: 'ENETUNREACH',
      syscall: 'netlink',
      origin: 'the test',
      hint: expect.stringContaining('invalid gateway'),
    });
  });

  test('a batch of nftables changes is applied completely or not at all', () => {
    const filter = netlink.NetlinkSocket.open('netfilter', sandbox.net.namespaces);
    const name = { family: 'inet', table: 'whole' } as const;
    const chain = netlink.newChain(name, 'c', { type: 'filter', hook: 'input', priority: 0 });
    const wrong = netlink.newRule(name, 'nothere', [netlink.verdict('accept')]);
    expect(thrown(() => filter.batch([netlink.newTable(name), chain, wrong]))).toMatchObject({ code: 'ENOENT' });
    const tables = () => filter.get(netlink.dumpTables('inet')).map(netlink.tableName);
    expect(tables()).not.toContain('whole');
    filter.batch([
      netlink.newTable(name),
      chain,
      netlink.newSet(name, { set: 's', id: 1, types: ['ipv4_addr'], interval: true }),
      netlink.addElements(name, { set: 's', id: 1 }, [{ first: Buffer.from([10, 0, 0, 0]), end: Buffer.from([11, 0, 0, 0]) }]),
      netlink.newRule(name, 'c', [
        netlink.meta('nfproto'),
        netlink.cmp('eq', Buffer.from([2])),
        netlink.payload('network', 16, 4),
        netlink.lookup('s', { id: 1, inverted: true }),
        netlink.limit(10, 'minute'),
        netlink.quota(1000),
        netlink.counter(),
        netlink.log(3, 'x'),
        netlink.reject('port-unreachable'),
      ]),
    ]);
    expect(tables()).toContain('whole');
    expect(filter.get(netlink.dumpRules('inet')).length).toBeGreaterThan(0);
    filter.batch([netlink.deleteTable(name)]);
    // Several errors in one batch do not disturb the next one.
    expect(thrown(() => filter.batch([wrong, wrong, wrong]))).toMatchObject({ code: 'ENOENT' });
    filter.batch([netlink.newTable(name)]);
    filter.batch([netlink.deleteTable(name)]);
    filter.close();
  });

  testIf(!isRoot, 'a user without rights', 'a process without rights over a namespace is refused', () => {
    const own = netlink.NetlinkSocket.open();
    expect(thrown(() => own.request(netlink.createLink('bridge', { name: 'nsjs-no' })))).toMatchObject({ code: 'EPERM' });
    own.close();
  });
});
