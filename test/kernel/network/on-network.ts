import { once } from 'node:events';
import { connect } from 'node:net';
import { type Network, Sandbox } from 'nsjs';
import { isRoot, testIf } from '../../support';
import { inLab, labNeeded } from './world';

export const rootLab = (name: string, body: () => Promise<unknown>) => testIf(inLab && isRoot, `${labNeeded}, as root`, name, body);

export const userLab = (name: string, body: () => Promise<unknown>) => testIf(inLab && !isRoot, `${labNeeded}, as a user`, name, body);

export const code = (port: number, text: string) =>
  `require('net').createServer((c) => c.end(${JSON.stringify(text)})).listen(${port}, () => console.log('ready'))`;

export const ask = (host: string, port: number) =>
  `require('net').connect(${port}, ${JSON.stringify(host)}).on('data', (d) => process.stdout.write(d)).on('error', (e) => console.log(e.code)).setTimeout(3000, () => { console.log('timeout'); process.exit(); })`;

/** Starts a server in a sandbox and waits until it listens. */
export async function serve(sandbox: Sandbox, port: number, text: string) {
  const server = sandbox.spawn(process.execPath, ['-e', code(port, text)], { reject: false });
  if (server.stdout) await once(server.stdout, 'data');
}

export const answer = async (sandbox: Sandbox, host: string, port: number): Promise<string> =>
  (await sandbox.spawn(process.execPath, ['-e', ask(host, port)], { reject: false })).stdout;

export const open = (network: Network, alias: string, more: object = {}) =>
  Sandbox.open({ preset: 'node', hostname: alias, network: { veth: { network, ...more } } });

export const fromHere = (host: string, port: number): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(port, host);
    socket.on('data', (data) => resolve(data.toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
  });
