// No network except a private loopback interface: servers of the host cannot be reached, a server in the sandbox can.

import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { spawnIsolated } from 'nsjs';

const client =
  'use IO::Socket::INET; print IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $ENV{PORT}, Timeout => 2) ? "connected" : "refused"';
const own =
  'use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1"); print IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $s->sockport) ? "connected" : "refused"';

async function main(): Promise<void> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const env = { PORT: String((server.address() as AddressInfo).port) };
  console.log(`the host's server, from a sandbox:        ${(await spawnIsolated('perl', ['-e', client], { env })).stdout}`);
  console.log(
    `the host's server, with network: 'host':  ${(await spawnIsolated('perl', ['-e', client], { env, network: 'host' })).stdout}`,
  );
  console.log(`a server of its own:                      ${(await spawnIsolated('perl', ['-e', own])).stdout}`);
  server.close();
}

void main();
