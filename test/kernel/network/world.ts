import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { EgressEvent, EgressOptions, SpawnOptions } from 'nsjs';
import { spawnIsolated } from 'nsjs';
import { temporaryDirectory, testIf } from '../../support';

/** Whether this process is in a network namespace that scripts/test/lab.sh has set up. */
export const inLab = process.env.NSJS_LAB === '1';
export const labNeeded = 'a network namespace of the tests, see scripts/test/lab.sh';

/** A test that needs the network namespace of scripts/test/lab.sh. */
export const lab = (name: string, body: () => Promise<unknown>) => testIf(inLab, labNeeded, name, body);

export const outside = '93.184.216.34';
export const elsewhere = '93.184.216.35';
export const six = '2606:2800:220:1::34';

/** Names and the addresses that the resolver outside returns for them. */
export const names: Record<string, readonly string[]> = {
  'good.test': [outside],
  'other.test': [outside],
  'www.wild.test': [elsewhere],
  'wild.test': [elsewhere],
  'six.test': [six],
  'local.test': ['127.0.0.1'],
  'mapped.test': ['::ffff:127.0.0.1'],
  'metadata.test': ['169.254.169.254'],
  'private.test': ['10.0.0.1'],
  'zero.test': ['0.0.0.0'],
  'nowhere.test': [],
};

/** Servers outside the sandbox, and a certificate authority that signs certificates for their names. */
export class World {
  readonly directory = temporaryDirectory();
  readonly seen: { host: string | undefined; url: string | undefined; method: string | undefined; body: string }[] = [];
  asked: string[] = [];
  private readonly servers: Server[] = [];
  private readonly sockets = new Set<Socket>();

  get ca(): string {
    return join(this.directory.path, 'ca.pem');
  }

  async open(): Promise<void> {
    this.makeCertificates();
    const answer = (request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse) => {
      let body = '';
      request.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      request.on('end', () => {
        this.seen.push({ host: request.headers.host, url: request.url, method: request.method, body });
        response.end(`outside ${request.headers.host} ${request.url}\n`);
      });
    };
    const tls = {
      key: readFileSync(join(this.directory.path, 'server.key')),
      cert: readFileSync(join(this.directory.path, 'server.pem')),
    };
    const echo = () => createServer((socket) => socket.pipe(socket));
    await Promise.all([
      this.listen(createHttp(answer), outside, 80),
      this.listen(createHttps(tls, answer), outside, 443),
      this.listen(createHttp(answer), elsewhere, 80),
      this.listen(createHttp(answer), six, 80),
      this.listen(echo(), outside, 7),
      this.listen(createHttp(answer), '127.0.0.1', 8088),
      this.listen(
        createServer((socket) => socket.end('hello from the server\n')),
        outside,
        2222,
      ),
    ]);
  }

  async listen(server: Server, host: string, port: number): Promise<void> {
    this.servers.push(server);
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => this.sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
  }

  readonly resolve = (name: string): readonly string[] => {
    this.asked.push(name);
    const found = names[name];
    if (!found) throw Object.assign(new Error(`no ${name}`), { code: 'ENOTFOUND' });
    return found;
  };

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await Promise.all(this.servers.map((server) => new Promise((resolve) => server.close(resolve))));
    this.directory.remove();
  }

  private makeCertificates(): void {
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: this.directory.path, stdio: 'pipe' });
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test CA');
    openssl('req', ...key.slice(0, -2), '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=good.test');
    const san = 'subjectAltName=DNS:good.test,DNS:other.test,DNS:www.wild.test';
    execFileSync('sh', ['-c', `printf '${san}' > san`], { cwd: this.directory.path });
    openssl(
      'x509',
      '-req',
      '-in',
      'server.csr',
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      'san',
      '-out',
      'server.pem',
    );
  }
}

/** Runs a command line with egress; returns its result and its events. */
export async function egress(line: string, options: EgressOptions, more: SpawnOptions = {}) {
  const events: EgressEvent[] = [];
  const run = spawnIsolated('/bin/sh', ['-c', line], { reject: false, ...more, encoding: 'utf8', network: { egress: options } });
  run.events.on('egress', (event) => events.push(event));
  const result = await run;
  // Events about packets that the kernel has refused arrive asynchronously.
  await new Promise((resolve) => setTimeout(resolve, 20));
  const refused = events.flatMap((event) => (event.kind === 'refused' ? [event] : []));
  return { ...result, events, refused };
}

/** Exit status of curl for a reset connection: 7 while it connects, 56 while it reads. */
export const reset = expect.stringMatching(/^(7|56)$/);

export const staticProbe = join(__dirname, '../../../build/test/net-probe');
