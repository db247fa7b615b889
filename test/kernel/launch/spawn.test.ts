import { execFileSync } from 'node:child_process';
import { tracingChannel } from 'node:diagnostics_channel';
import { mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { ExitError, forkIsolated, isNsjsError, type Result, type SpawnOptions, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { rejection, sh, sleep, thrown, trySh } from '../../support';

describe('the promise', () => {
  test('is an instance of Promise and has its streams immediately', async () => {
    const running = spawnIsolated('echo', ['hello']);
    expect(running).toBeInstanceOf(Promise);
    expect(running.pid).toBeUndefined();
    expect(running.stdin).toBeNull();
    expect(running.stdout).not.toBeNull();
    await running.spawned;
    expect(running.pid).toBeGreaterThan(0);
    expect(await running.exited).toEqual({ code: 0, signal: null });
    expect(await running).toMatchObject({
      command: ['echo', 'hello'],
      exitCode: 0,
      signal: null,
      reason: 'exited',
      stdout: 'hello',
      stderr: '',
    });
  });

  test('rejects with an ExitError that has all fields of the result', async () => {
    const error = await rejection(spawnIsolated('/bin/sh', ['-c', 'echo out; echo err >&2; exit 3']));
    expect(error).toBeInstanceOf(ExitError);
    expect(error).toMatchObject({ code: 'ERR_NSJS_EXIT', exitCode: 3, signal: null, reason: 'exited', stdout: 'out', stderr: 'err' });
    expect(error.message).toBe('/bin/sh -c echo out; echo err >&2; exit 3 failed: exit code 3');
    expect(isNsjsError(error)).toBe(true);
  });

  test('resolves after a failure with reject: false', async () => {
    expect(await trySh('exit 3')).toMatchObject({ exitCode: 3, reason: 'exited' });
  });

  test('reports a signal only if the kernel reported one', async () => {
    expect(await trySh('kill -SEGV $$')).toMatchObject({ exitCode: null, signal: 'SIGSEGV', reason: 'signaled' });
    expect(await trySh('exit 137')).toMatchObject({ exitCode: 137, signal: null, reason: 'exited' });
  });

  test('a command that does not exist in the sandbox causes ENOENT, as in child_process', async () => {
    const error = await rejection(spawnIsolated('no-such-command', ['a']));
    expect(error).toMatchObject({ code: 'ENOENT', errno: -2, syscall: 'spawn no-such-command', path: 'no-such-command', spawnargs: ['a'] });
    expect((await rejection(spawnIsolated('/opt/x/y'))).hint).toMatch(/add \{type: 'bind'/);
  });

  test('a command that is not executable causes EACCES', async () => {
    expect(await rejection(spawnIsolated('/etc/passwd'))).toMatchObject({ code: 'EACCES' });
  });
});

describe('invalid input throws immediately', () => {
  test.each([
    ['', undefined, {}, 'command'],
    ['a\0b', undefined, {}, 'command'],
    ['true', ['a\0'], {}, 'args[0]'],
    ['true', [1], {}, 'args[0]'],
    ['true', 'x', {}, 'args'],
    ['true', [], { unknown: 1 }, 'unknown'],
    ['true', [], { timeout: -1 }, 'timeout'],
    ['true', [], { timeout: 2 ** 31 }, 'timeout'],
    ['true', [], { killSignal: 'SIGNOPE' }, 'killSignal'],
    ['true', [], { encoding: 'latin1' }, 'encoding'],
    ['true', [], { stdio: 'overlapped' }, 'stdio[0]'],
    ['true', [], { stdio: ['pipe', 'pipe', 99_999] }, 'stdio[2]'],
    ['true', [], { input: 5 }, 'input'],
    ['true', [], { input: 'x', stdio: 'ignore' }, 'input'],
    ['true', [], { signal: {} }, 'signal'],
    ['true', [], { preset: 'strict' }, 'preset'],
    ['true', [], { maxBuffer: 'lots' }, 'maxBuffer'],
    ['true', [], { hostname: 5 }, 'hostname'],
    ['true', [], { seccomp: { deny: ['mout'] } }, 'seccomp.deny[0]'],
    ['true', [], { seccomp: { deny: ['execve'] } }, 'seccomp.deny'],
    ['true', [], { seccomp: 'off', mounts: [{ type: 'bind', source: '/tmp', readonly: false }] }, 'mounts[0].readonly'],
    ['true', [], { noNewPrivileges: false }, 'noNewPrivileges'],
  ])('%j %j %j: %s', (command, args, options, path) => {
    const error = thrown(() => spawnIsolated(command, args as string[], options as SpawnOptions));
    expect(error).toMatchObject({ path, message: expect.stringContaining(path) });
    expect(error.code).toMatch(/^ERR_(INVALID_ARG_(TYPE|VALUE)|OUT_OF_RANGE)$/);
    expect(error instanceof TypeError || error instanceof RangeError || error.name.startsWith('Option')).toBe(true);
  });

  test('each option is read once, even if it is a getter', async () => {
    let reads = 0;
    const options = {
      get hostname() {
        reads++;
        return `name${reads}`;
      },
    };
    expect((await spawnIsolated('uname', ['-n'], options)).stdout).toBe('name1');
    expect(reads).toBe(1);
  });
});

describe('stopping', () => {
  test('a timeout ends the program, and the reason is timeout', async () => {
    expect(await trySh('sleep 30', { timeout: 200 })).toMatchObject({ reason: 'timeout' });
  });

  test('a program that ignores killSignal gets SIGKILL after killGrace', async () => {
    const result = await trySh('trap "" TERM; while :; do sleep 0.1; done', { timeout: 200, killGrace: 200 });
    expect(result).toMatchObject({ reason: 'timeout', signal: 'SIGKILL' });
    expect(result.durationMs).toBeLessThan(5 * 400);
  });

  test('abort rejects with an AbortError after all processes have ended', async () => {
    const controller = new AbortController();
    const running = spawnIsolated('sleep', ['30'], { signal: controller.signal });
    await running.spawned;
    const pid = running.pid ?? 0;
    controller.abort('no longer wanted');
    expect(await rejection(running)).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: 'no longer wanted' });
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  test('an AbortSignal that is already aborted starts nothing', async () => {
    const running = spawnIsolated('true', [], { signal: AbortSignal.abort() });
    expect(running.stdout).toBeNull();
    expect(await rejection(running)).toMatchObject({ code: 'ABORT_ERR' });
  });

  test('abort works before the program runs', async () => {
    const controller = new AbortController();
    const running = spawnIsolated('sleep', ['30'], { signal: controller.signal });
    controller.abort();
    expect(await rejection(running)).toMatchObject({ code: 'ABORT_ERR' });
  });

  test('kill sends signals, even before the program runs', async () => {
    const early = spawnIsolated('sleep', ['30'], { reject: false });
    expect(early.kill('SIGUSR1')).toBe(true);
    expect(await early).toMatchObject({ signal: 'SIGUSR1', reason: 'signaled' });
    const hard = spawnIsolated('sleep', ['30'], { reject: false });
    await hard.spawned;
    expect(hard.kill('SIGKILL')).toBe(true);
    expect(await hard).toMatchObject({ signal: 'SIGKILL', reason: 'killed' });
    expect(hard.kill()).toBe(false);
  });

  test('stop resolves with the result and never throws', async () => {
    const running = spawnIsolated('sleep', ['30']);
    await running.spawned;
    expect(await running.stop()).toMatchObject({ reason: 'killed' });
    expect(await running.stop()).toMatchObject({ reason: 'killed' });
  });

  test('leaving an `await using` block stops the program', async () => {
    let pid = 0;
    {
      await using running = spawnIsolated('sleep', ['30']);
      await running.spawned;
      pid = running.pid ?? 0;
    }
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  test('a grandchild that keeps stdout open does not delay the result', async () => {
    const result = await trySh('setsid sleep 60 & echo done');
    expect(result.stdout).toBe('done');
    expect(result.durationMs).toBeLessThan(10_000);
  });
});

describe('output and input', () => {
  test('encoding and stripFinalNewline are applied', async () => {
    expect((await spawnIsolated('printf', ['a\\r\\n'])).stdout).toBe('a');
    expect((await spawnIsolated('printf', ['a\\n'], { stripFinalNewline: false })).stdout).toBe('a\n');
    expect((await spawnIsolated('printf', ['\\377'], { encoding: 'buffer' })).stdout).toEqual(Buffer.from([0xff]));
  });

  test('the sandbox ends if output exceeds maxBuffer, and earlier output is kept', async () => {
    const result = await spawnIsolated('yes', [], { maxBuffer: 1000, reject: false });
    expect(result.reason).toBe('output');
    expect(result.stdout).toHaveLength(999);
  });

  test.each([
    ['a string', 'hello'],
    ['bytes', Buffer.from('hello')],
    ['a stream', Readable.from(['hel', 'lo'])],
  ])('input can come from %s', async (_, input) => {
    expect((await spawnIsolated('cat', [], { input })).stdout).toBe('hello');
  });

  test('a large input that the program does not read is not an error', async () => {
    expect(await spawnIsolated('true', [], { input: Buffer.alloc(10 * 2 ** 20) })).toMatchObject({ exitCode: 0 });
  });

  test('output can be iterated line by line', async () => {
    const seen: string[] = [];
    for await (const line of spawnIsolated('printf', ['one\\ntwo\\r\\nthr\\303\\251e'])) seen.push(line);
    expect(seen).toEqual(['one', 'two', 'thrée']);
  });

  test('iterating throws at the end if the program failed', async () => {
    const seen: string[] = [];
    const loop = async () => {
      for await (const line of spawnIsolated('/bin/sh', ['-c', 'echo a; exit 4'])) seen.push(line);
    };
    expect(await rejection(loop())).toMatchObject({ exitCode: 4 });
    expect(seen).toEqual(['a']);
  });

  test('leaving the loop stops the sandbox', async () => {
    const running = spawnIsolated('yes', [], { buffer: false });
    for await (const line of running) {
      expect(line).toBe('y');
      break;
    }
    expect(running.kill()).toBe(false);
  });

  test('buffer: false streams with backpressure and collects nothing', async () => {
    const running = spawnIsolated('head', ['-c', '3000000', '/dev/zero'], { buffer: false });
    let size = 0;
    for await (const chunk of running.stdout ?? []) size += chunk.length;
    expect(size).toBe(3_000_000);
    expect((await running).stdout).toBe('');
  });

  test('stdio accepts files and additional descriptors', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'nsjs-stdio-'));
    const file = openSync(join(directory, 'out'), 'w');
    const running = spawnIsolated('/bin/sh', ['-c', 'echo to file; echo to pipe >&3'], { stdio: ['ignore', file, 'inherit', 'pipe'] });
    let text = '';
    running.stdio[3]?.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    await running;
    expect(text).toBe('to pipe\n');
    expect(readFileSync(join(directory, 'out'), 'utf8')).toBe('to file\n');
    execFileSync('rm', ['-r', directory]);
  });

  test('stdout and stderr of the program are pipes, never sockets', async () => {
    expect(await sh('stat -L -c %F /proc/self/fd/1 /proc/self/fd/2')).toBe('fifo\nfifo');
  });

  test('a socket is accepted only with socket: true', async () => {
    const server = createServer().listen(0);
    await new Promise((resolve) => server.once('listening', resolve));
    const fd = (server as unknown as { _handle: { fd: number } })._handle.fd;
    expect(thrown(() => spawnIsolated('true', [], { stdio: ['ignore', 'pipe', 'pipe', fd] })).message).toMatch(/is a socket/);
    expect(await sh('stat -L -c %F /proc/self/fd/3', { stdio: ['ignore', 'pipe', 'pipe', { fd, socket: true }] })).toBe('socket');
    server.close();
  });

  test('a stream without a descriptor is refused', () => {
    expect(thrown(() => spawnIsolated('true', [], { stdio: ['ignore', new PassThrough()] })).path).toMatch(/^stdio\[1\]/);
  });
});

describe('events and ChildProcess', () => {
  test('spawn, exit and close are emitted in this order', async () => {
    const seen: string[] = [];
    const running = spawnIsolated('true');
    running.events.on('spawn', () => seen.push('spawn'));
    running.events.on('exit', (code) => seen.push(`exit ${code}`));
    running.events.on('close', ({ reason }) => seen.push(`close ${reason}`));
    await running;
    await sleep(0);
    expect(seen).toEqual(['spawn', 'exit 0', 'close exited']);
  });

  test('asChildProcess behaves like a ChildProcess', async () => {
    const child = spawnIsolated('/bin/sh', ['-c', 'cat; exit 5'], { stdio: 'pipe' }).asChildProcess();
    const closed = new Promise((resolve) => child.on('close', (code, signal) => resolve([code, signal])));
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    child.stdin?.end('through');
    expect(await closed).toEqual([5, null]);
    expect([child.exitCode, text]).toEqual([5, 'through']);
    const missing = spawnIsolated('no-such-command').asChildProcess();
    expect(await new Promise((resolve) => missing.on('error', resolve))).toMatchObject({ code: 'ENOENT' });
  });
});

describe('tracing', () => {
  test('nsjs:spawn publishes the start, the end and errors', async () => {
    const seen: unknown[] = [];
    const note = (kind: string) => (message: unknown) => seen.push([kind, (message as { error?: { code: string } }).error?.code]);
    const subscribers = { start: note('start'), end: () => {}, asyncStart: () => {}, asyncEnd: note('asyncEnd'), error: note('error') };
    const channels = tracingChannel('nsjs:spawn');
    channels.subscribe(subscribers);
    await spawnIsolated('true');
    await rejection(spawnIsolated('no-such-command'));
    channels.unsubscribe(subscribers);
    expect(seen).toEqual([
      ['start', undefined],
      ['asyncEnd', undefined],
      ['start', undefined],
      ['error', 'ENOENT'],
      ['asyncEnd', 'ENOENT'],
    ]);
  });
});

describe('forkIsolated', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nsjs-fork-'));
  const file = join(directory, 'child.js');
  afterAll(() => execFileSync('rm', ['-r', directory]));

  test('messages can be sent in both directions', async () => {
    writeFileSync(
      file,
      "process.on('message', (m) => { process.send({ got: m, argv: process.argv.slice(2), cpus: require('os').cpus().length > 0 }); process.disconnect(); });",
    );
    const child = forkIsolated(file, ['x']);
    const message = new Promise((resolve) => child.events.on('message', resolve));
    await child.send({ hello: 'world' });
    expect(await message).toEqual({ got: { hello: 'world' }, argv: ['x'], cpus: true });
    expect(await child).toMatchObject({ exitCode: 0 });
  });

  test('internal messages of Node and invalid messages are dropped', async () => {
    writeFileSync(
      file,
      `const s = require('fs'); const fd = Number(process.env.FD ?? 3); s.writeSync(fd, '{"cmd":"NODE_HANDLE"}\\nnoise\\n{"__proto__":{"x":1}}\\n"end"\\n'); setTimeout(() => process.exit(), 50)`,
    );
    const seen: unknown[] = [];
    const child = forkIsolated(file);
    child.events.on('message', (message) => seen.push(message));
    await child;
    expect(seen).toHaveLength(2);
    expect(seen[1]).toBe('end');
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  test('an endless message ends the sandbox', async () => {
    writeFileSync(file, "const s = require('fs'); const b = Buffer.alloc(65536, 120); for (;;) try { s.writeSync(3, b) } catch {}");
    expect(await rejection(forkIsolated(file))).toMatchObject({ reason: 'ipc' });
  });
});

describe('spawnIsolatedSync', () => {
  test('returns the result and throws errors', () => {
    expect(spawnIsolatedSync('cat', [], { input: 'hello' })).toMatchObject({ stdout: 'hello', exitCode: 0, reason: 'exited' });
    expect(thrown(() => spawnIsolatedSync('false'))).toMatchObject({ code: 'ERR_NSJS_EXIT', exitCode: 1 });
    expect(thrown(() => spawnIsolatedSync('no-such-command'))).toMatchObject({ code: 'ENOENT' });
    expect(thrown(() => spawnIsolatedSync('true', [], { signal: new AbortController().signal })).message).toMatch(/^signal: /);
  });

  test('transfers large input and output at the same time', () => {
    const input = Buffer.alloc(3 * 2 ** 20, 'x');
    expect(spawnIsolatedSync('cat', [], { input, encoding: 'buffer' }).stdout.equals(input)).toBe(true);
  });

  test('applies timeout, killGrace and maxBuffer', () => {
    const run = (line: string, options: SpawnOptions): Result =>
      spawnIsolatedSync('/bin/sh', ['-c', line], { ...options, encoding: 'utf8', reject: false });
    expect(run('sleep 30', { timeout: 200 })).toMatchObject({ reason: 'timeout', signal: 'SIGTERM' });
    expect(run('trap "" TERM; while :; do sleep 0.1; done', { timeout: 100, killGrace: 100 })).toMatchObject({
      reason: 'timeout',
      signal: 'SIGKILL',
    });
    expect(run('yes', { maxBuffer: 1000 }).reason).toBe('output');
  });
});
