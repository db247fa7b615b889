// The kernel's connection tracking entries for egress are charged to no cgroup.
import { readFileSync } from 'node:fs';
import { Sandbox } from '../../../dist';
import { isRoot, testIf } from '../../support';

const flood = `
import socket
sent = refused = 0
while sent < 60000:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(500):
        try:
            s.sendto(b'x' * 20, ('10.%d.%d.%d' % (sent >> 16 & 255, sent >> 8 & 255, sent & 255), 53))
            sent += 1
        except PermissionError:
            sent += 1
            refused += 1
    s.close()
print(sent, refused)
`;

describe('the connection tracking table of egress', () => {
  // Without root, a thread of this process cannot enter the network namespace of the sandbox to read the table.
  testIf(isRoot, 'root', 'stays small under a flood of packets to many different resolvers', async () => {
    await using sandbox = await Sandbox.open({ network: { egress: { allow: ['good.test'], onConnect: () => 'deny' } } });
    const net = sandbox.namespace('net');
    const entries = () => net.run(() => Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_count', 'latin1')));
    let most = 0;
    const look = setInterval(() => {
      most = Math.max(most, entries());
    }, 100);
    try {
      const { stdout } = await sandbox.spawn('python3', ['-c', flood]);
      const [count = 0] = stdout.split(' ').map(Number);
      expect(count).toBeGreaterThanOrEqual(60_000);
      console.log(`${count} made, ${most} entries at most`);
      expect(most).toBeLessThan(30_000);
    } finally {
      clearInterval(look);
    }
  });
});
