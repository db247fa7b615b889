// Values of other realms, as in Jest, jsdom and node:vm, and timers that other code has replaced.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { createContext, runInContext } from 'node:vm';
import { spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { naming } from '../../../dist/fs/root';
import { openFlags, openFlagsOf } from '../../../dist/native/open-flags';
import { addElements } from '../../../dist/netlink/nftables';
import { parseSandboxOptions } from '../../../dist/options/spec';
import { parseSyscalls } from '../../../dist/options/syscalls';
import { isMasked } from '../../../dist/sandbox/self-test';
import { thrown } from '../../support';

const realm = createContext({ URL: class URL extends globalThis.URL {} });
const foreign = <T>(text: string): T => runInContext(text, realm) as T;

test('bytes, URLs, arrays and objects of another realm are accepted', async () => {
  expect((await spawnIsolated('cat', [], { input: foreign<Uint8Array>('new Uint8Array([104, 105])') })).stdout).toBe('hi');
  expect(spawnIsolatedSync('cat', [], { input: foreign<Uint8Array>('new Uint8Array([104, 105])') }).stdout).toBe('hi');
  const mounts = foreign<object[]>(
    "[{ type: 'file', target: '/f', data: new Uint8Array([111, 107]) }, { type: 'bind', source: new URL('file:///usr/share'), target: '/s' }]",
  );
  expect((await spawnIsolated('cat', foreign<string[]>("['/f']"), { mounts } as object)).stdout).toBe('ok');
  expect(thrown(() => spawnIsolated('true', [], { input: foreign('({ pipe() {} })') as Readable }))).toMatchObject({ path: 'input' });
});

test('a stream of a library is read like one of node:stream', async () => {
  const source = Readable.from(['a', 'b']);
  const like = { pipe: source.pipe.bind(source), on: source.on.bind(source), [Symbol.asyncIterator]: () => source[Symbol.asyncIterator]() };
  expect((await spawnIsolated('cat', [], { input: like as unknown as Readable })).stdout).toBe('ab');
});

test('global timer functions that return numbers, as in browsers, do not affect nsjs', async () => {
  const script = `for (const name of ['setTimeout', 'setInterval', 'setImmediate']) { const own = globalThis[name]; globalThis[name] = (...args) => { own(...args); return 1; }; }
    const { spawnIsolated, Sandbox, SandboxPool } = require(${JSON.stringify(join(process.cwd(), 'dist'))});
    (async () => {
      console.log((await spawnIsolated('sleep', ['9'], { timeout: 50, reject: false })).reason);
      const sandbox = await Sandbox.open(); console.log((await sandbox.spawn('echo', ['a'], { limits: { cpuTime: 5000 } })).stdout); await sandbox.close();
      const pool = await SandboxPool.open(); console.log((await pool.spawn('echo', ['b'])).stdout); await pool.close();
    })()`;
  expect((await promisify(execFile)(process.execPath, ['-e', script])).stdout).toBe('timeout\na\nb\n');
});

test('bytes and errors of another realm are recognized where nsjs itself made them', async () => {
  const elements = (text: string) => addElements({ family: 'inet', table: 't' }, { set: 's', id: 1 }, foreign(text)).payload;
  const own = addElements({ family: 'inet', table: 't' }, { set: 's', id: 1 }, [Buffer.of(1)]).payload;
  expect(elements('[new Uint8Array([1])]')).toEqual(own);
  const failed = naming('/x', () => {
    throw foreign<Error>("new Error('denied')");
  });
  await expect(failed).rejects.toMatchObject({ message: 'denied', path: '/x' });
});

// jsdom has these classes of its own.
const likeJsdom = `
  globalThis.AbortSignal = class AbortSignal extends (class { aborted = false; acts = new Set();
    addEventListener(_, act) { this.acts.add(act); } removeEventListener(_, act) { this.acts.delete(act); } }) {};
  globalThis.AbortController = class AbortController { signal = new AbortSignal();
    abort() { this.signal.aborted = true; for (const act of this.signal.acts) act({ type: 'abort' }); } };`;

test('the classes of jsdom do not affect nsjs, and its signals are accepted', async () => {
  const script = `
    const { Sandbox } = require(${JSON.stringify(join(process.cwd(), 'dist'))}); ${likeJsdom}
    const server = "require('http').createServer((asked, given) => asked.url === '/late' || asked.pipe(given)).listen(80, () => console.log('up'))";
    (async () => {
      const sandbox = await Sandbox.open({ preset: 'node', network: {} });
      const run = sandbox.spawn(process.execPath, ['-e', server], { reject: false });
      await new Promise((done) => run.stdout.once('data', done));
      console.log(await (await sandbox.net.fetch('http://localhost/', { method: 'POST', body: 'echo' })).text());
      const late = new AbortController();
      const fetched = sandbox.net.fetch('http://localhost/late', { signal: late.signal });
      setTimeout(() => late.abort(), 50);
      console.log(await fetched.catch(({ name }) => name));
      const stop = new AbortController();
      for await (const _ of sandbox.monitor({ interval: 10, signal: stop.signal })) stop.abort();
      console.log('stopped');
      await sandbox.close();
    })()`;
  expect((await promisify(execFile)(process.execPath, ['-e', script])).stdout).toBe('echo\nAbortError\nstopped\n');
});

describe('flags of open(2)', () => {
  test('match those of node:fs on this architecture', () => {
    const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOCTTY, O_NONBLOCK, O_DIRECTORY, O_NOFOLLOW } = constants;
    expect(openFlags).toMatchObject({
      readOnly: O_RDONLY,
      writeOnly: O_WRONLY,
      create: O_CREAT,
      exclusive: O_EXCL,
      noctty: O_NOCTTY,
      nonblock: O_NONBLOCK,
      directory: O_DIRECTORY,
      nofollow: O_NOFOLLOW,
    });
  });

  test('match those of the kernel on each architecture', () => {
    expect(openFlagsOf('x64')).toMatchObject({ directory: 0x10000, nofollow: 0x20000, path: 0x200000, cloexec: 0x80000 });
    expect(openFlagsOf('arm64')).toMatchObject({ directory: 0x4000, nofollow: 0x8000, path: 0x200000, cloexec: 0x80000 });
  });
});

test('a handler of a call that exists only on another architecture gets the call in its place, or is ignored', () => {
  const given = { onSyscall: { mkdir: () => {}, mkdirat: () => {}, fork: () => {} } };
  const parsed = (arch: 'x64' | 'arm64') => {
    const { handlers, notify } = parseSyscalls(given, arch) ?? {};
    return [[...(handlers?.keys() ?? [])], notify?.names];
  };
  expect(parsed('x64')).toEqual([
    ['mkdir', 'mkdirat', 'fork'],
    ['mkdir', 'mkdirat', 'fork'],
  ]);
  expect(parsed('arm64')).toEqual([['mkdir', 'mkdirat'], ['mkdirat']]);
  expect(thrown(() => parseSyscalls({ onSyscall: { mkdri: () => {} } }, 'arm64'))).toMatchObject({ path: 'onSyscall.mkdri' });
});

test('masked paths are distinguished from other paths', () => {
  const { proc, mounts } = parseSandboxOptions({ preset: 'node', mounts: [{ type: 'mask', target: '/opt' }] });
  const masked = (path: string) => isMasked({ proc, mounts }, path);
  expect(['/proc/sysrq-trigger', '/opt/x', '/opt'].map(masked)).toEqual([true, true, true]);
  expect(['/proc/1/mem', '/proc/meminfo', '/proc/sys/kernel/core_pattern', '/optional'].map(masked)).toEqual([false, false, false, false]);
});
