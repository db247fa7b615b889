import { once } from 'node:events';
import { createServer as createRaw } from 'node:net';
import { Worker } from 'node:worker_threads';
import { type EgressContext, type EgressEvent, Sandbox, spawnIsolated } from 'nsjs';
import { sleep } from '../../support';
import { openDescriptors } from '../../support/processes';
import { eventually } from '../../support/until';
import { egress, inLab, lab, outside, reset, staticProbe, World } from './world';

const world = new World();

const { resolve } = world;

/** Returns the longest time in milliseconds for which the event loop was blocked. */
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

describe('limits', () => {
  const probe = { mounts: [{ type: 'bind', source: staticProbe, target: '/probe' }] } as const;

  lab('the number of simultaneous connections is limited', async () => {
    const { stdout, refused } = await egress('/probe many good.test 7 12', { allow: ['good.test:7'], connections: 4, resolve }, probe);
    expect(stdout).toBe('4 of 12');
    expect(refused.filter(({ reason }) => reason === 'limit').length).toBeGreaterThanOrEqual(8);
  });

  lab('the total number of bytes is limited', async () => {
    const line = 'head -c 300000 /dev/zero | /probe send good.test 7 | wc -c';
    const { stdout } = await egress(line, { allow: ['good.test:7'], bytes: 200_000, resolve }, probe);
    expect(Number(stdout)).toBeLessThan(200_000);
  });

  lab('the transfer rate is limited', async () => {
    const started = performance.now();
    const line = 'head -c 200000 /dev/zero | /probe send good.test 7 | wc -c';
    const { stdout } = await egress(line, { allow: ['good.test:7'], rate: 100_000, resolve }, probe);
    expect(stdout).toBe('200000');
    expect(performance.now() - started).toBeGreaterThan(1000);
  });

  lab('the transfer rate of HTTP is limited too, and each connection is closed once', async () => {
    const { stdout, events } = await egress('curl -sS http://good.test/once', { allow: ['good.test'], rate: 50_000, resolve });
    expect(stdout).toBe('outside good.test /once');
    const started = performance.now();
    await egress('head -c 60000 /dev/zero | curl -sS -T - http://good.test/put', { allow: ['good.test'], rate: 20_000, resolve });
    expect(performance.now() - started).toBeGreaterThan(1500);
    expect(events.filter(({ kind }) => kind === 'close')).toHaveLength(1);
  });

  lab('the number of requests without an answer is limited', async () => {
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

  lab('a flood of connections does not block the event loop', async () => {
    const started = performance.now();
    let refused: readonly EgressEvent[] = [];
    const longest = await busy(async () => {
      ({ refused } = await egress('/probe flood good.test 22 10000', { allow: ['good.test:80'], resolve }, probe));
    });
    expect(refused.length).toBeGreaterThan(0);
    // At most 200 events per second are emitted.
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
    lab(`${what} over TCP does not block the event loop`, async () => {
      const longest = await busy(() => egress(`perl -e '${dns(piece)}'`, { allow: ['good.test'], resolve }));
      expect(longest).toBeLessThan(1500);
    });
  }

  lab('of denied lookups does not hide events about allowed connections', async () => {
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
  lab('emits egress events and counts traffic by name', async () => {
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

  lab('does not let a program inside change the routes', async () => {
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

describe('egress in a worker thread', () => {
  lab('decides by lists and by a function of this thread, emits events and counts traffic', async () => {
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
    await eventually(() => expect(openDescriptors()).toBeLessThanOrEqual(fds + 2));
  });
});

lab('terminating a thread closes the descriptors of the sandboxes that it opened', async () => {
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
  await eventually(() => expect(openDescriptors()).toBeLessThanOrEqual(fds));
});
