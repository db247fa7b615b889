import { once } from 'node:events';
import { createServer, get, request } from 'node:http';
import { createConnection, type Server } from 'node:net';
import { Namespace, Sandbox } from 'nsjs';
import { rejection, thrown } from '../../support';
import { keepersGone, openDescriptors } from '../../support/processes';
import { eventually } from '../../support/until';

describe('sockets of this process inside', () => {
  test('an HTTP server on port 80 is reachable for a program inside, but not from outside', async () => {
    const sandbox = await Sandbox.open();
    const server = createServer((_, response) => response.end('from outside'));
    await sandbox.net.listen(server, 80);
    const fetch = "fetch('http://127.0.0.1/').then((r) => r.text()).then(console.log)";
    expect((await sandbox.spawn(process.execPath, ['-e', fetch])).stdout).toBe('from outside');
    const refused = await new Promise((resolve) =>
      createConnection(80, '127.0.0.1')
        .once('error', resolve)
        .once('connect', () => resolve('reached')),
    );
    expect(refused).toMatchObject({ code: 'ECONNREFUSED' });
    expect(await rejection(sandbox.net.listen(createServer(), 80))).toMatchObject({ code: 'EADDRINUSE', syscall: 'bind' });
    const closed = once(server, 'close');
    await sandbox.close();
    await closed;
  });

  test('http.request reaches a server in the sandbox', async () => {
    const sandbox = await Sandbox.open();
    const serve = "require('http').createServer((q, r) => r.end('inside ' + q.url)).listen(8080, () => console.log('ready'))";
    const program = sandbox.spawn(process.execPath, ['-e', serve], { reject: false });
    await new Promise((resolve) => program.stdout?.once('data', resolve));
    const text = await new Promise((resolve, reject) => {
      const sent = request({ path: '/x', createConnection: () => sandbox.net.connect(8080) }, (response) =>
        response.once('data', (data) => resolve(String(data))),
      );
      sent.once('error', reject).end();
    });
    expect(text).toBe('inside /x');
    const refused = get({ createConnection: () => sandbox.net.connect(8081) });
    expect(await new Promise((resolve) => refused.once('error', resolve))).toMatchObject({ code: 'ECONNREFUSED' });
    await sandbox.close();
  });

  test('UDP works in both directions', async () => {
    const sandbox = await Sandbox.open();
    const socket = await sandbox.net.udp(53);
    socket.on('message', (data, from) => socket.send(`echo ${data}`, from.port, from.address));
    const ask =
      "const s = require('dgram').createSocket('udp4'); s.on('message', (d) => { console.log(String(d)); s.close(); }); s.send('hi', 53, '127.0.0.1');";
    expect((await sandbox.spawn(process.execPath, ['-e', ask])).stdout).toBe('echo hi');
    await sandbox.close();
  });

  test('sockets can be created by type and through a Namespace', async () => {
    const sandbox = await Sandbox.open();
    using net = sandbox.namespace('net');
    const server = createServer((_, response) => response.end('by namespace'));
    await net.listen(server, 8080);
    const socket = sandbox.net.socket('tcp4').connect({ host: '127.0.0.1', port: 8080 });
    await once(socket, 'connect');
    expect(
      await new Promise((resolve) =>
        get({ createConnection: () => net.connect(8080) }, (response) => response.once('data', (data) => resolve(String(data)))),
      ),
    ).toBe('by namespace');
    const udp = await sandbox.net.socket('udp6');
    expect(udp.address().family).toBe('IPv6');
    expect(thrown(() => sandbox.net.socket('raw' as 'tcp4'))).toMatchObject({ path: 'type' });
    await sandbox.close();
  });

  test('closing the sandbox closes the sockets, and its network namespace ends', async () => {
    const before = openDescriptors();
    const sandbox = await Sandbox.open();
    using net = sandbox.namespace('net');
    const reference = net.toJSON();
    const server = createServer(() => {});
    await sandbox.net.listen(server, 80);
    const connected = sandbox.net.connect(80);
    await once(connected, 'connect');
    await sandbox.net.udp(5000);
    net.close();
    await sandbox.close();
    await eventually(() => expect(thrown(() => Namespace.reopen(reference).close())).toMatchObject({ code: 'ESTALE' }));
    await keepersGone();
    expect(connected.destroyed).toBe(true);
    expect(openDescriptors()).toBeLessThanOrEqual(before);
    expect(thrown(() => sandbox.net.connect(80))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  test('bad input is refused', async () => {
    const sandbox = await Sandbox.open();
    expect(await rejection(sandbox.net.listen(createServer(), 70_000))).toMatchObject({ path: 'port' });
    expect(await rejection(sandbox.net.listen(createServer(), 80, 'name'))).toMatchObject({ path: 'host' });
    expect(await rejection(sandbox.net.listen({} as Server, 83))).toMatchObject({ path: 'server' });
    expect(thrown(() => sandbox.net.connect(80, 'localhost'))).toMatchObject({ path: 'host' });
    expect(await rejection(sandbox.net.listen(createServer(), 80, '9.9.9.9'))).toMatchObject({ code: 'EADDRNOTAVAIL' });
    using uts = sandbox.namespace('uts');
    expect(thrown(() => uts.net)).toMatchObject({ code: 'ERR_NSJS_UNSUPPORTED' });
    await sandbox.close();
  });
});
