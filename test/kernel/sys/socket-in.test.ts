import { readFileSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { Sandbox } from 'nsjs';
import * as sys from 'nsjs/sys';
import { isRoot, thrown } from '../../support';

describe('socketIn', () => {
  test('sockets are created in the other namespace, and this thread stays in its own', async () => {
    const sandbox = await Sandbox.open();
    const net = sandbox.namespace('net');
    const owner = isRoot ? undefined : sandbox.namespace('user');
    const where = { netFd: net.fd, ...(owner ? { userFd: owner.fd } : {}) };
    const [tcp = -1, udp = -1, six = -1, abstract = -1] = sys.socketIn(where, [
      { type: 'stream', bind: { host: '127.0.0.1', port: 80 }, listen: 10 },
      { type: 'dgram', bind: { host: '127.0.0.1', port: 53 } },
      { type: 'stream', bind: { host: '::1', port: 8080 }, listen: 10 },
      { type: 'stream', bind: { abstract: 'nsjs-test' }, listen: 10 },
    ]);
    const inside = (await sandbox.spawn('cat', ['/proc/net/tcp', '/proc/net/udp', '/proc/net/tcp6', '/proc/net/unix'], { reject: false }))
      .stdout;
    const own = readFileSync('/proc/self/net/tcp', 'latin1') + readFileSync('/proc/self/net/unix', 'latin1');
    expect(own).not.toContain('nsjs-test');
    expect(inside === '' || inside.includes('0100007F:0050')).toBe(true);
    const server = createServer((connection) => connection.end('hello'));
    server.listen({ fd: tcp });
    const [client = -1] = sys.socketIn(where, [{ type: 'stream' }]);
    const socket = new Socket({ fd: client, readable: true, writable: true });
    socket.connect({ host: '127.0.0.1', port: 80 });
    const text = await new Promise((resolve) => socket.once('data', (data) => resolve(String(data))));
    expect(text).toBe('hello');
    server.close();
    socket.destroy();
    expect(thrown(() => sys.socketIn(where, [{ type: 'dgram', bind: { host: '127.0.0.1', port: 53 } }]))).toMatchObject({
      code: 'EADDRINUSE',
      syscall: 'bind',
    });
    expect(thrown(() => sys.socketIn(where, [{ type: 'stream', bind: { host: '9.9.9.9', port: 1 } }]))).toMatchObject({
      code: 'EADDRNOTAVAIL',
    });
    expect(thrown(() => sys.socketIn(where, [{ type: 'stream', bind: { host: 'name', port: 1 } }]))).toMatchObject({ code: 'EINVAL' });
    expect(thrown(() => sys.socketIn({ netFd: 0 }, []))).toMatchObject({ syscall: 'setns' });
    for (const fd of [udp, six, abstract]) sys.close(fd);
    net.close();
    owner?.close();
    await sandbox.close();
  });
});
