// Real servers with two hosts on one address: no server may answer for the host that the program may not reach.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { EgressOptions, Mount } from 'nsjs';
import { sleep, temporaryDirectory, testIf } from '../../support';
import { clientHello, record } from '../../support/hello';
import { egress, inLab, labNeeded, names, outside } from './world';

const probe = join(__dirname, '../../../build/test/net-probe');
const directory = temporaryDirectory();
chmodSync(directory.path, 0o755);
const file = (name: string) => join(directory.path, name);
const source = join(process.cwd(), 'test/programs/tls-server.go');
const has = (path: string) => existsSync(path);
const resolve = (name: string) => (name === 'bad.test' ? [outside] : (names[name] ?? []));

/** Ports for TLS and for HTTP in clear text, and whether the server is installed. */
const servers = {
  openssl: { tls: 9441, http: undefined, isThere: has('/usr/bin/openssl') },
  go: { tls: 9442, http: 9402, isThere: has('/usr/bin/go') && has(source) },
  node: { tls: 9443, http: 9403, isThere: true },
  nginx: { tls: 9444, http: 9404, isThere: has('/usr/sbin/nginx') },
} as const;
type Name = keyof typeof servers;
const running: ChildProcess[] = [];

function makeCertificate(name: string): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  execFileSync('openssl', ['req', '-x509', ...key, '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`), ...subject], {
    stdio: 'pipe',
  });
}

const nodeServer = `
  const [address, tls, http, ...files] = process.argv.slice(1);
  const fs = require('node:fs');
  const [good, bad] = [0, 2].map((at) => ({ cert: fs.readFileSync(files[at]), key: fs.readFileSync(files[at + 1]) }));
  const answer = (request, response) => response.end('served ' + request.headers.host + ' ' + request.url + '\\n');
  const secure = require('node:https').createServer(good, answer);
  secure.addContext('bad.test', bad);
  secure.listen(Number(tls), address);
  require('node:http').createServer({ insecureHTTPParser: true, requireHostHeader: false }, answer).listen(Number(http), address);`;

function nginxSettings(): string {
  const host = (
    name: string,
    kind: string,
  ) => `server { listen ${outside}:${servers.nginx.tls} ssl${kind}; listen ${outside}:${servers.nginx.http}${kind}; server_name ${name};
    ssl_certificate ${file(`${name}.pem`)}; ssl_certificate_key ${file(`${name}.key`)}; location / { return 200 "served ${name} $request_uri\\n"; } }`;
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${file(what)};`).join(' ');
  return `daemon off; worker_processes 1; pid ${file('nginx.pid')}; error_log ${file('error.log')}; events {}
    http { access_log off; ${places} ${host('good.test', ' default_server')} ${host('bad.test', '')} }`;
}

function start(name: Name): void {
  const { tls, http } = servers[name];
  const files = ['good.test', 'bad.test'].flatMap((host) => [file(`${host}.pem`), file(`${host}.key`)]);
  const [good = '', goodKey = '', bad = '', badKey = ''] = files;
  const both = ['-cert', good, '-key', goodKey, '-cert2', bad, '-key2', badKey, '-servername', 'bad.test'];
  const commands: Readonly<Record<Name, () => readonly [string, readonly string[]]>> = {
    openssl: () => ['openssl', ['s_server', '-accept', `${outside}:${tls}`, '-www', '-quiet', ...both]],
    go: () => {
      const env = { ...process.env, GOCACHE: file('cache'), GOPATH: file('path'), GO111MODULE: 'off', HOME: directory.path };
      execFileSync('go', ['build', '-o', file('go-server'), source], { env, stdio: 'pipe' });
      return [file('go-server'), [outside, `${tls}`, `${http}`, ...files]];
    },
    node: () => [process.execPath, ['-e', nodeServer, outside, `${tls}`, `${http}`, ...files]],
    nginx: () => {
      writeFileSync(file('nginx.conf'), nginxSettings());
      return ['/usr/sbin/nginx', ['-p', directory.path, '-c', file('nginx.conf'), '-e', file('error.log')]];
    },
  };
  const [command, args] = commands[name]();
  running.push(spawn(command, args, { stdio: 'ignore' }));
}

/** Sends bytes to a server directly, without a sandbox, and returns its answer as text. */
async function ask(port: number, bytes: Buffer | string): Promise<string> {
  let text = '';
  await new Promise<void>((done) => {
    const socket = connect(port, outside, () => socket.write(bytes));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.once('error', () => done());
    socket.once('close', () => done());
    setTimeout(() => socket.destroy(), 400);
  });
  return text;
}

async function isUp(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const isOpen = await new Promise<boolean>((done) => {
      const socket = connect(port, outside, () => done(true));
      socket.once('error', () => done(false));
      socket.once('connect', () => socket.destroy());
    });
    if (isOpen) return;
    await sleep(100);
  }
  throw new Error(`nobody listens on ${port}`);
}

/**
 * Sends each of the pieces on its own connection and returns the answers by name. The piece `right` is sent last and
 * alone, because openssl serves one connection at a time; its connection is kept open until the answer contains
 * `wanted`.
 */
async function through(port: number, pieces: Readonly<Record<string, Buffer>>, mode: 'name' | 'address', wanted: string) {
  const mounts: Mount[] = [
    { type: 'bind', source: probe, target: '/probe' },
    ...Object.entries(pieces).map(([name, data]) => ({ type: 'file', target: `/pieces/${name}`, data }) as const),
  ];
  const options: EgressOptions =
    mode === 'name' ? { allow: [`good.test:${port}`], resolve } : { allow: [`${outside}:${port}`], deny: ['bad.test'], resolve };
  const target = mode === 'name' ? 'send good.test' : `tcp ${outside}`;
  const line = `cd /pieces; send() { /probe ${target} ${port} > /tmp/$1 2>&1; }
    answered() { for try in $(seq 100); do grep -qa '${wanted}' /tmp/right && return; sleep 0.1; done; }
    for f in *; do [ $f = right ] || (cat $f; sleep 0.5) | send $f & done; wait
    (cat right; answered) | send right
    for f in *; do printf '\\n==%s==' $f; tr -cd '[:print:]' < /tmp/$f; done`;
  const { stdout, refused } = await egress(line, options, { mounts, limits: { pids: 256 } });
  const answers = new Map([...stdout.matchAll(/==(\S+)==(.*)/g)].map(([, name = '', text = '']) => [name, text]));
  return { answers, refused };
}

const bad = clientHello({ names: [[0, 'bad.test']] });
const good = clientHello({ names: [[0, 'good.test']] });
const prefixed = (...prefix: readonly Buffer[]) => Buffer.concat([...prefix, record(22, bad)]);

/** Beginnings of TLS connections to the host that is not allowed. */
const greetings: Readonly<Record<string, Buffer>> = {
  plain: record(22, bad),
  warning: prefixed(record(21, Buffer.of(1, 100))),
  warnings: prefixed(...Array.from({ length: 8 }, () => record(21, Buffer.of(1, 90), 0x0303))),
  'change-cipher-spec': prefixed(record(20, Buffer.alloc(0), 0x0303)),
  'change-cipher-spec-1': prefixed(record(20, Buffer.of(1), 0x0303)),
  'empty-record': prefixed(record(22, Buffer.alloc(0))),
  heartbeat: prefixed(record(24, Buffer.of(1, 0, 0))),
  data: prefixed(record(23, Buffer.alloc(0))),
  fragments: Buffer.concat([record(22, bad.subarray(0, 50)), record(22, bad.subarray(50))]),
  version: record(22, bad, 0x0300),
  'unknown-type-first': record(
    22,
    clientHello({
      names: [
        [1, 'good.test'],
        [0, 'bad.test'],
      ],
    }),
  ),
  'good-then-bad': record(
    22,
    clientHello({
      names: [
        [0, 'good.test'],
        [0, 'bad.test'],
      ],
    }),
  ),
  'upper-case': record(22, clientHello({ names: [[0, 'BAD.test']] })),
  'with-a-port': record(22, clientHello({ names: [[0, 'bad.test:443']] })),
  'with-a-dot': record(22, clientHello({ names: [[0, 'bad.test.']] })),
  blanks: prefixed(Buffer.from('\r\n\r\n')),
};

const request = (text: string) => Buffer.from(text.replace(/\n/g, '\r\n').replaceAll('|', '\n'), 'latin1');
const first = 'GET /1 HTTP/1.1\nHost: good.test:PORT\n\n';
/**
 * Requests to the host that is not allowed, some of them after another request. PORT is replaced with the server's
 * port.
 */
const requests: Readonly<Record<string, string>> = {
  plain: 'GET /x HTTP/1.1\nHost: bad.test:PORT\n\n',
  second: `${first}GET /x HTTP/1.1\nHost: bad.test:PORT\n\n`,
  url: 'GET http://bad.test:PORT/x HTTP/1.1\nHost: good.test:PORT\n\n',
  'two-hosts': 'GET /x HTTP/1.1\nHost: good.test:PORT\nHost: bad.test:PORT\n\n',
  folded: 'GET /x HTTP/1.1\nHost: good.test:PORT\nX: a\n Host: bad.test\nHost: bad.test\n\n',
  'no-version': 'GET /x\nHost: bad.test:PORT\n\n',
  rtsp: 'GET /x RTSP/1.0\nHost: bad.test:PORT\n\n',
  ice: 'SOURCE /x ICE/1.0\nHost: bad.test:PORT\n\n',
  blanks: '\n\nGET /x HTTP/1.1\nHost: bad.test:PORT\n\n',
  'both-lengths': `POST /1 HTTP/1.1\nHost: good.test:PORT\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\nGET /x HTTP/1.1\nHost: bad.test:PORT\n\n`,
  'body-of-get': `GET /1 HTTP/1.1\nHost: good.test:PORT\nContent-Length: 46\n\nGET /x HTTP/1.1\nHost: bad.test:PORT\nX: 12345\n\n`,
  upgrade: `GET /1 HTTP/1.1\nHost: good.test:PORT\nConnection: Upgrade\nUpgrade: h2c\n\nGET /x HTTP/1.1\nHost: bad.test:PORT\n\n`,
  'bare-line-feeds': 'GET /x HTTP/1.1|Host: bad.test:PORT||',
};

beforeAll(async () => {
  if (!inLab) return;
  for (const name of ['good.test', 'bad.test']) makeCertificate(name);
  mkdirSync(file('logs'));
  for (const name of Object.keys(servers) as Name[]) {
    const { isThere, tls, http } = servers[name];
    if (!isThere) continue;
    start(name);
    await isUp(tls);
    if (http !== undefined) await isUp(http);
  }
}, 300_000);

afterAll(async () => {
  for (const child of running) child.kill('SIGTERM');
  await sleep(200);
  directory.remove();
});

for (const name of Object.keys(servers) as Name[]) {
  const { tls, http, isThere } = servers[name];
  describe(name, () => {
    const inWorld = (title: string, body: () => Promise<unknown>) => testIf(inLab && isThere, inLab ? name : labNeeded, title, body);

    inWorld('serves both hosts without a sandbox', async () => {
      expect(await ask(tls, record(22, bad))).toContain('bad.test');
      expect(await ask(tls, record(22, good))).toContain('good.test');
      if (http !== undefined) expect(await ask(http, request('GET /x HTTP/1.1\nHost: bad.test\n\n'))).toContain('served bad.test');
    });

    for (const mode of ['name', 'address'] as const) {
      inWorld(`shows a program only the allowed host by TLS, with rules by ${mode}`, async () => {
        const { answers, refused } = await through(tls, { ...greetings, right: record(22, good) }, mode, 'good.test');
        expect(answers.get('right')).toContain('good.test');
        expect([...answers].filter(([, text]) => text.includes('bad.test')).map(([piece]) => piece)).toEqual([]);
        expect(refused.length).toBeGreaterThanOrEqual(Object.keys(greetings).length - 1);
      });

      if (http === undefined) continue;
      inWorld(`answers no request for the other host, with rules by ${mode}`, async () => {
        const pieces = Object.fromEntries(
          Object.entries(requests).map(([piece, text]) => [piece, request(text.replaceAll('PORT', `${http}`))]),
        );
        const right = request(`GET /right HTTP/1.1\nHost: good.test:${http}\n\n`);
        const { answers, refused } = await through(http, { ...pieces, right }, mode, '/right');
        expect(answers.get('right')).toContain('/right');
        expect([...answers].filter(([, text]) => /served bad\.test|\/x$/.test(text)).map(([piece]) => piece)).toEqual([]);
        expect(refused.length).toBeGreaterThan(0);
      });
    }
  });
}
