import { spawnIsolated } from 'nsjs';
import { sleep, testIf } from '../../support';
import { inLab, labNeeded, World } from './world';

const seconds = Number(process.env.NSJS_FUZZ_SECONDS ?? 8);
const seed = Number(process.env.NSJS_FUZZ_SEED ?? Date.now() % 2 ** 31);

// Runs inside. Sends input that is almost valid, truncated, duplicated or has changed bytes to every listener, and
// closes connections in every way.
const attacker = `
const net = require('net'), dgram = require('dgram');
let state = ${seed};
const random = (n) => { state = (state * 1103515245 + 12345) & 0x7fffffff; return state % n; };
const pick = (list) => list[random(list.length)];
const hello = Buffer.from('16030100500100004c0303' + '00'.repeat(32) + '0000021301010000210000000e000c000009676f6f642e74657374', 'hex');
const seeds = [
  'GET / HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n', 'POST /x HTTP/1.1\\r\\nHost: good.test\\r\\nContent-Length: 5\\r\\n\\r\\nhello',
  'POST /x HTTP/1.1\\r\\nHost: good.test\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nhello\\r\\n0\\r\\n\\r\\n',
  'GET http://good.test/ HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n', 'CONNECT good.test:80 HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\nGET / HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n',
  'GET / HTTP/1.1\\r\\nHost: good.test\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n', 'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n',
  'OPTIONS * HTTP/1.1\\r\\nHost: good.test\\r\\nExpect: 100-continue\\r\\n\\r\\n', 'GET //[::1 HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n', '\\r\\n\\r\\n', 'x',
].map((text) => Buffer.from(text, 'latin1')).concat([hello,
  Buffer.from([5, 1, 0, 5, 1, 0, 3, 9, ...Buffer.from('good.test'), 0, 80]), Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 80]), Buffer.from([5, 2, 0, 1]),
  Buffer.from('001c123401000001000000000000' + '04676f6f640474657374' + '0000010001', 'hex'), Buffer.from('123401000001000000000000' + '04676f6f640474657374' + '0000010001', 'hex')]);
function mutate(bytes) {
  let result = Buffer.from(bytes);
  for (let count = random(4); count > 0 && result.length > 0; count--) {
    const at = random(result.length);
    switch (random(5)) {
      case 0: result[at] = random(256); break;
      case 1: result = result.subarray(0, at); break;
      case 2: result = Buffer.concat([result, pick(seeds)]); break;
      case 3: result = Buffer.concat([result.subarray(0, at), Buffer.alloc(random(2000), random(256)), result.subarray(at)]); break;
      default: result = Buffer.concat([result.subarray(0, at), pick([Buffer.from('\\r\\n'), Buffer.from('\\0'), Buffer.from('Host: other.test\\r\\n'), Buffer.from([0xff, 0xfe])]), result.subarray(at)]);
    }
  }
  return result;
}
const targets = [['good.test', 80], ['good.test', 443], ['good.test', 7], ['good.test', 2222], ['127.0.0.1', 3128], ['127.0.0.1', 1080], ['198.18.0.1', 53], ['127.0.0.1', 61001], ['odd.test', 80], ['odd.test', 9]];
let done = 0;
const end = Date.now() + ${seconds * 1000};
function attack() {
  if (Date.now() > end) return;
  const [host, port] = pick(targets);
  const socket = net.connect({ host, port, allowHalfOpen: random(2) === 0 });
  let over = false;
  const finish = () => { if (over) return; over = true; clearTimeout(timer); socket.destroy(); done++; setImmediate(attack); };
  const timer = setTimeout(finish, 20 + random(300));
  socket.on('error', () => {}).on('close', finish).on('data', () => {});
  const bytes = mutate(pick(seeds));
  if (random(3) === 0) { const at = random(bytes.length + 1); socket.write(bytes.subarray(0, at)); setTimeout(() => socket.destroyed || socket.write(bytes.subarray(at)), random(150)); }
  else socket.write(bytes);
  switch (random(4)) { case 0: socket.end(); break; case 1: setTimeout(() => socket.resetAndDestroy(), random(50)); }
  const udp = dgram.createSocket('udp4');
  udp.on('error', () => {});
  udp.send(mutate(seeds.at(-1)), 53, '8.8.8.8', () => udp.close());
}
for (let index = 0; index < 20; index++) attack();
setTimeout(() => { console.log(done); process.exit(); }, ${seconds * 1000 + 1000});
`;

const world = new World();
afterAll(() => (inLab ? world.close() : undefined));

testIf(inLab, labNeeded, `no input crashes this process or reaches another host (seed ${seed}, ${seconds} s)`, async () => {
  await world.open();
  const failures: unknown[] = [];
  const onFailure = (error: unknown) => failures.push(error);
  process.on('uncaughtException', onFailure);
  process.on('unhandledRejection', onFailure);
  const before = process.memoryUsage().heapUsed;
  const { stdout, stderr } = await spawnIsolated(process.execPath, ['-e', attacker], {
    preset: 'node',
    reject: false,
    // Node 22 warns when it reads the proxy variables.
    env: { NODE_NO_WARNINGS: '1' },
    network: {
      egress: {
        allow: ['good.test', '93.184.216.34:7'],
        proxy: true,
        resolve: world.resolve,
        connectTimeout: 500,
        services: { 'odd.test:9': (socket) => socket.on('error', () => {}).pipe(socket) },
      },
    },
  });
  await sleep(200);
  process.off('uncaughtException', onFailure);
  process.off('unhandledRejection', onFailure);
  expect(failures).toEqual([]);
  expect(stderr).toBe('');
  expect(Number(stdout)).toBeGreaterThan(100);
  expect(world.seen.filter(({ host }) => host !== 'good.test' && host !== 'good.test:80')).toEqual([]);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 * 2 ** 20);
});
