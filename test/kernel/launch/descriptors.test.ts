// Descriptors that a program shares with this process, and socket pairs in addition to the standard streams.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { forkIsolated, Sandbox, SandboxPool, type SpawnOptions, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { isRoot, isSlow, rejection, temporaryDirectory } from '../../support';
import { openDescriptors, sandboxCgroups } from '../../support/processes';
import { eventually } from '../../support/until';

const dist = JSON.stringify(join(process.cwd(), 'dist'));
const cli = join(process.cwd(), 'dist/cli/main.js');
const bytes = 2_000_000;

/** Returns the output of a shell pipeline, in which `$NODE -e "$SCRIPT"` runs the script. */
async function pipeline(line: string, script = '') {
  const env = { ...process.env, NODE: process.execPath, SCRIPT: script, CLI: cli };
  const { stdout, stderr } = await promisify(execFile)('/bin/bash', ['-c', line], { env });
  return { stdout: stdout.trim(), stderr };
}

const starts = {
  alone: (program: string) => `await nsjs.spawnIsolated(...${program});`,
  blocking: (program: string) => `nsjs.spawnIsolatedSync(...${program});`,
  'in a sandbox': (program: string) => `const s = await nsjs.Sandbox.open(); await s.spawn(...${program}); await s.close();`,
  'from a pool': (program: string) => `const p = await nsjs.SandboxPool.open(); await p.spawn(...${program}); await p.close();`,
};

describe.each(Object.entries(starts))('inherited descriptors, %s', (kind, start) => {
  const script = (stdio: string, command: string) =>
    `const nsjs = require(${dist}); (async () => { console.log('first'); process.stdin.unref?.(); ${start(`['/bin/sh', ['-c', ${JSON.stringify(command)}], { stdio: ${stdio} }]`)} console.log('last'); })()`;

  test('a pipe receives all output, although Node writes to it as well', async () => {
    const text = script("['ignore', 'inherit', 'inherit']", `head -c ${bytes} /dev/zero`);
    const { stdout } = await pipeline('$NODE -e "$SCRIPT" | (sleep 0.5; wc -c)', text);
    expect(Number(stdout)).toBe(bytes + 'first\nlast\n'.length);
  });

  test('a socket receives all output, and its flags stay unchanged', async () => {
    const text = `const net = require('node:net'); const server = net.createServer((peer) => { let n = 0; setTimeout(() => peer.on('data', (d) => { n += d.length }).on('close', () => { console.error(n); server.close() }), 300) }).listen(0, '127.0.0.1', () => {
      const client = net.connect(server.address().port, '127.0.0.1', async () => { const nsjs = require(${dist}); const { fcntlFlags } = { fcntlFlags: () => require('node:fs').readFileSync('/proc/self/fdinfo/' + client._handle.fd, 'utf8').match(/flags:\\s+(\\d+)/)[1] };
        const before = fcntlFlags(); ${start(`['head', ['-c', '${bytes}', '/dev/zero'], { stdio: ['ignore', { fd: client._handle.fd, socket: true }, 'pipe'] }]`)}
        console.log(before === fcntlFlags()); client.destroy() }) })`;
    // The synchronous form prevents this process from reading the other end.
    if (kind === 'blocking') return;
    const { stdout, stderr } = await pipeline('$NODE -e "$SCRIPT"', text);
    expect({ stdout, stderr }).toEqual({ stdout: 'true', stderr: `${bytes}\n` });
  });

  test('the program waits for input that arrives late', async () => {
    const text = script("['inherit', 'inherit', 'inherit']", 'cat');
    expect((await pipeline('(sleep 0.5; echo late) | $NODE -e "process.stdin.on(\'error\', () => {}); $SCRIPT"', text)).stdout).toBe(
      'first\nlate\nlast',
    );
  });

  test('/dev/stdin and /dev/stdout open the inherited descriptors', async () => {
    const text = script(
      "['inherit', 'inherit', 'inherit']",
      'cat /dev/stdin > /dev/stdout; echo x >&2 2>/dev/null; echo err > /dev/stderr',
    );
    expect((await pipeline('echo in | $NODE -e "$SCRIPT" 2>&1 | cat', text)).stdout.split('\n').sort()).toEqual([
      'err',
      'first',
      'in',
      'last',
      'x',
    ]);
  });
});

test('an inherited pipe can be reopened only at the end that was passed', async () => {
  const line = 'cat < /dev/stdout 2>/dev/null && echo read; echo x > /dev/stdin 2>/dev/null && echo written; echo own > /dev/stdout';
  const script = `const nsjs = require(${dist}); nsjs.spawnIsolated('/bin/sh', ['-c', ${JSON.stringify(line)}], { stdio: 'inherit', reject: false })`;
  // If a user runs nsjs, the pipe belongs to the program's user as well.
  if (isRoot) expect((await pipeline('sleep 1 | $NODE -e "$SCRIPT" | cat', script)).stdout).toBe('own');
});

test('in the synchronous form input goes to descriptor 0 only', () => {
  const text = 'x'.repeat(100_000);
  const { stdout } = spawnIsolatedSync('/bin/sh', ['-c', 'cat; cat <&3'], { stdio: ['pipe', 'pipe', 'pipe', 'writable'], input: text });
  expect(stdout).toBe(text);
});

test('a spawn with a descriptor that is not open leaks no descriptors or cgroups', async () => {
  await using sandbox = await Sandbox.open();
  const round = async () => {
    for (let count = 0; count < 5; count++)
      await rejection(sandbox.spawn('true', [], { timeout: 5000, stdio: ['ignore', 'pipe', 'pipe', { fd: 9999, socket: true }] }));
    return { descriptors: openDescriptors(), groups: sandboxCgroups().length };
  };
  // Descriptors that this process opens only once are open after the first round.
  const before = await round();
  await round();
  await eventually(() => {
    expect(openDescriptors()).toBeLessThanOrEqual(before.descriptors);
    expect(sandboxCgroups().length).toBeLessThanOrEqual(before.groups);
  });
});

test('nsjs run waits for late input and writes all output', async () => {
  expect((await pipeline('(sleep 0.5; echo hi) | $NODE $CLI run -- cat')).stdout).toBe('hi');
  expect((await pipeline(`$NODE $CLI run -- head -c ${bytes} /dev/zero | (sleep 0.5; wc -c)`)).stdout).toBe(`${bytes}`);
});

test('the program writes to an inherited file at the current offset of this process', async () => {
  const directory = temporaryDirectory();
  const file = join(directory.path, 'out');
  const script = `const nsjs = require(${dist}); (async () => { console.log('1'); await nsjs.spawnIsolated('echo', ['2'], { stdio: 'inherit' }); console.log('3') })()`;
  expect((await pipeline(`$NODE -e "$SCRIPT" > ${file}; cat ${file}`, script)).stdout).toBe('1\n2\n3');
  directory.remove();
});

describe('descriptors from 3 on', () => {
  const each = (
    title: string,
    body: (run: (program: string, options: SpawnOptions) => ReturnType<typeof spawnIsolated>) => Promise<unknown>,
  ) => {
    test(title, async () => {
      await using sandbox = await Sandbox.open();
      await using pool = await SandboxPool.open();
      await body((program, options) => spawnIsolated('python3', ['-c', program], options));
      await body((program, options) => sandbox.spawn('python3', ['-c', program], options as object) as ReturnType<typeof spawnIsolated>);
      await body((program, options) => pool.spawn('python3', ['-c', program], options as object) as ReturnType<typeof spawnIsolated>);
    });
  };

  each("'pipe' works in both directions", async (run) => {
    const running = run('import os; os.write(3, b"got " + os.read(3, 100))', { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    const stream = running.stdio[3];
    stream?.write('hello');
    const [answer] = await once(stream as NodeJS.EventEmitter, 'data');
    expect(String(answer)).toBe('got hello');
    await running;
  });

  each("'readable' and 'writable' work in one direction", async (run) => {
    const running = run('import os; os.write(3, os.read(4, 100).upper())', {
      stdio: ['ignore', 'pipe', 'pipe', 'readable', 'writable'],
    });
    running.stdio[4]?.end('word');
    const [answer] = await once(running.stdio[3] as NodeJS.EventEmitter, 'data');
    expect(String(answer)).toBe('WORD');
    await running;
  });

  each('descriptors that a program sends over a pipe are closed', async (run) => {
    const program = `import socket, os, array
r, w = os.pipe()
s = socket.socket(fileno=3)
s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [w]))]); os.close(w)
os.read(0, 1)
print(os.read(r, 1) == b'')`;
    const running = run(program, { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] });
    await once(running.stdio[3] as NodeJS.EventEmitter, 'data');
    running.stdin?.end('x');
    expect((await running).stdout).toBe('True');
  });

  test('in the synchronous form output to them is read', () => {
    const { exitCode } = spawnIsolatedSync('sh', ['-c', 'head -c 300000 /dev/zero >&3'], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    expect(exitCode).toBe(0);
  });
});

describe('a channel', () => {
  const directory = temporaryDirectory();
  const file = join(directory.path, 'child.js');
  afterAll(() => directory.remove());

  test('a flood of messages arrives completely and in order, and does not block the event loop', async () => {
    writeFileSync(
      file,
      "const s = require('fs'); let t = ''; for (let i = 0; i < 200000; i++) { t += i + '\\n'; if (t.length > 60000) { let b = Buffer.from(t); t = ''; while (b.length) try { b = b.subarray(s.writeSync(3, b)) } catch {} } } let b = Buffer.from(t); while (b.length) try { b = b.subarray(s.writeSync(3, b)) } catch {} ",
    );
    const child = forkIsolated(file);
    let [next, inOrder, turns] = [0, true, 0];
    const timer = setInterval(() => turns++, 1);
    child.events.on('message', (message) => {
      inOrder &&= message === next++;
      for (const end = performance.now() + 0.005; performance.now() < end; );
    });
    await child;
    while (next < 200_000 && inOrder) await new Promise((resolve) => setTimeout(resolve, 10));
    clearInterval(timer);
    expect({ next, inOrder }).toEqual({ next: 200_000, inOrder: true });
    // The listener needs 5 µs for each of the 200,000 messages, which is one second in total.
    expect(turns).toBeGreaterThan(50);
  });

  test('an exception in a listener loses no other message', async () => {
    writeFileSync(file, 'for (let i = 0; i < 1999; i++) process.send(i); process.send(1999, () => process.disconnect())');
    const script = `const { forkIsolated } = require(${dist}); let [got, thrown] = [0, 0]; process.on('uncaughtException', () => { thrown++ });
      const child = forkIsolated(${JSON.stringify(file)}); child.events.on('message', (i) => { got++; if (i % 100 === 0) throw new Error('mine') });
      child.then(() => setTimeout(() => console.log(got, thrown), ${isSlow ? 10_000 : 300}))`;
    expect((await pipeline('$NODE -e "$SCRIPT"', script)).stdout).toBe('2000 20');
  });

  test('a message may be as long as maxMessage allows', async () => {
    writeFileSync(file, "process.send('x'.repeat(40000), () => process.disconnect())");
    const child = forkIsolated(file, [], { maxMessage: 40_002 });
    const message = once(child.events, 'message');
    await child;
    expect((await message)[0]).toHaveLength(40_000);
    expect(await rejection(forkIsolated(file, [], { maxMessage: 40_001 }))).toMatchObject({
      reason: 'ipc',
      message: expect.stringContaining('maxMessage'),
    });
    expect(() => spawnIsolated('true', [], { maxMessage: 1 })).toThrow(/ipc/);
  });
});

test('an inherited terminal receives all output, and this process can still write to it', async () => {
  // script(1) runs Node on a terminal.
  const text = `const nsjs = require(${dist}); (async () => { console.log('1'); await nsjs.spawnIsolated('sh', ['-c', 'test -t 1 && head -c 200000 /dev/zero | tr "\\\\000" x; echo'], { stdio: 'inherit' }); console.log('2'); })()`;
  const env = { ...process.env, NODE: process.execPath, SCRIPT: text };
  const child = spawn('script', ['-qec', '"$NODE" -e "$SCRIPT"', '/dev/null'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  child.stdout.on('data', (part) => {
    stdout += part;
  });
  await once(child, 'close');
  expect(stdout.match(/x/g)).toHaveLength(200_000);
  expect(stdout).toMatch(/^1/);
  expect(stdout.trimEnd()).toMatch(/2$/);
});
