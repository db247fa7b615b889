// Edge cases that are easy to get wrong.
import { spawnSync } from 'node:child_process';
import { createReadStream, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type SpawnOptions, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { callNumber, isRoot, output, rejection, sh, sleep, temporaryDirectory, testIf, thrown, trySh } from '../../support';
import { sandboxCgroups } from '../../support/processes';

const node = (script: string, before = '') =>
  spawnSync('/bin/sh', ['-c', `${before} exec "$0" -e "$1"`, process.execPath, script], {
    cwd: __dirname,
    encoding: 'utf8',
    timeout: 20_000,
  });

test('an exception in a listener becomes an uncaught exception, and other sandboxes continue', () => {
  const { status, stdout } = node(`
    const { spawnIsolated } = require('nsjs');
    process.on('uncaughtException', ({ message }) => console.log('uncaught', message));
    const first = spawnIsolated('true');
    first.events.on('spawn', () => { throw new Error('boom'); });
    const second = spawnIsolated('sleep', ['0.2']);
    Promise.all([first, second]).then((results) => console.log(results.map(({ reason }) => reason).join()));`);
  expect([status, stdout]).toEqual([0, 'uncaught boom\nexited,exited\n']);
});

test('an unrelated exception after a callback is not attributed to the next spawn', () => {
  const { stdout } = node(`
    const { spawnIsolated } = require('nsjs');
    process.on('uncaughtException', ({ message }) => console.log('uncaught', message));
    (async () => {
      const running = spawnIsolated('true');
      await running.spawned;
      process.nextTick(() => { throw new Error('unrelated'); });
      await running;
      console.log((await spawnIsolated('echo', ['fine'])).stdout);
    })();`);
  expect(stdout).toBe('uncaught unrelated\nfine\n');
});

test('in the host’s pid namespace wallTime is enforced even if the program stops init', async () => {
  const result = await trySh('kill -STOP $PPID; exec sleep 20', { proc: 'off', namespaces: { pid: false }, limits: { wallTime: 500 } });
  expect(result).toMatchObject({ reason: 'timeout' });
  expect(result.durationMs).toBeLessThan(10_000);
});

test('in the host’s pid namespace no file of the root controls which processes init kills', async () => {
  const directory = temporaryDirectory();
  for (const name of ['proc/thread-self', 'usr']) mkdirSync(join(directory.path, name), { recursive: true });
  const victim = spawnIsolated('sleep', ['30'], { reject: false });
  await victim.spawned;
  writeFileSync(join(directory.path, 'proc/thread-self/children'), `${victim.pid} `);
  await rejection(
    spawnIsolated('/usr/bin/true', [], {
      root: directory.path,
      proc: 'off',
      namespaces: { pid: false },
      mounts: [{ type: 'bind', source: '/usr' }],
    }),
  );
  await sleep(100);
  expect(victim.kill('SIGTERM')).toBe(true);
  expect(await victim).toMatchObject({ signal: 'SIGTERM' });
  directory.remove();
});

test('an undefined option keeps the value of the preset', async () => {
  const limits = { memory: undefined, pids: undefined } as unknown as NonNullable<SpawnOptions['limits']>;
  const { report } = await spawnIsolated('true', [], { limits });
  expect(report.limits).toMatchObject({ memory: 512 * 2 ** 20, pids: 64 });
});

test('an option that is inherited from a prototype is used', async () => {
  expect((await spawnIsolated('uname', ['-n'], Object.create({ hostname: 'inherited' }))).stdout).toBe('inherited');
});

test('a caller with low rlimits can still spawn with the default preset', () => {
  const script =
    "require('nsjs').spawnIsolated('/bin/sh', ['-c', 'ulimit -Hn']).then(({ stdout }) => console.log(stdout), ({ message }) => console.log(message))";
  expect(node(script, 'ulimit -n 400;').stdout).toBe('400\n');
});

test('truncated output causes a rejection, however late it is detected', async () => {
  const loop = async () => {
    for await (const line of spawnIsolated('/bin/sh', ['-c', 'echo first; head -c 60000 /dev/zero | tr "\\0" "\\n"'], {
      maxBuffer: 1000,
    })) {
      if (line === 'first') await sleep(300);
    }
  };
  expect(await rejection(loop())).toMatchObject({ reason: 'output' });
});

test('an endless line ends the sandbox instead of filling memory', async () => {
  const loop = async () => {
    for await (const _ of spawnIsolated('cat', ['/dev/zero'], { buffer: false, maxBuffer: '1M' }));
  };
  expect(await rejection(loop())).toMatchObject({ reason: 'output' });
});

test('an input stream that fails rejects the promise', async () => {
  expect(await rejection(spawnIsolated('cat', [], { input: createReadStream('/nonexistent') }))).toMatchObject({ code: 'ENOENT' });
  expect(await rejection(spawnIsolated('cat', [], { input: Readable.from([{ a: 1 }]) }))).toMatchObject({ path: 'input' });
});

test('a program that is killed before it starts settles every promise', async () => {
  const running = spawnIsolated('sleep', ['10'], { reject: false });
  running.kill('SIGKILL');
  expect(await running).toMatchObject({ reason: 'killed' });
  expect(await running.exited).toMatchObject({ signal: 'SIGKILL' });
  await Promise.allSettled([running.spawned]);
});

test('the descriptor of a directory is refused', () => {
  expect(thrown(() => spawnIsolated('true', [], { stdio: ['ignore', 'pipe', 'pipe', openSync('/', 'r')] })).message).toMatch(
    /^stdio\[3\]: .*directory/,
  );
});

test('a capability that is listed repeatedly counts once', async () => {
  const many = Array.from({ length: 41 }, () => 'CAP_KILL' as const);
  expect(await sh("grep -c '0000000000000020$' /proc/self/status", { capabilities: many })).toBe('5');
});

test('the sandbox cannot exhaust the inotify instances of its user', async () => {
  expect(
    Number(await output('perl', ['-e', `my $n = 0; $n++ while $n < 500 && syscall(${callNumber('inotify_init1')}, 0) >= 0; print $n`])),
  ).toBeLessThan(33);
});

test('protocols other than TCP and UDP are refused', async () => {
  const script =
    'use Socket; for my $p (0, 6, 17, 132, 136, 262) { print socket(my $s, AF_INET, $p == 17 ? SOCK_DGRAM : SOCK_STREAM, $p) ? "open " : 0+$!, " " }';
  expect(await output('perl', ['-e', script])).toMatch(/^open {2}open {2}open {2}97 97 97 $/);
});

testIf(isRoot, 'root', 'the synchronous form cleans up after its keeper is killed', async () => {
  const script = `
    const { spawnIsolatedSync } = require('nsjs');
    const { spawn } = require('node:child_process');
    spawn('/bin/sh', ['-c', 'sleep 0.3; kill -9 $(cat /proc/' + process.pid + '/task/*/children | tr " " "\\\\n" | while read p; do grep -qzx nsjs /proc/$p/cmdline && echo $p; done)'], { stdio: 'ignore' });
    const { reason } = spawnIsolatedSync('sleep', ['5'], { reject: false });
    console.log(reason, process.pid);`;
  const [reason, pid] = node(script).stdout.trim().split(' ');
  expect(reason).toBe('launcher');
  expect(sandboxCgroups(Number(pid))).toEqual([]);
});

test('asChildProcess emits error and close after an abort', async () => {
  const child = spawnIsolated('sleep', ['10'], { signal: AbortSignal.timeout(50) }).asChildProcess();
  const seen: string[] = [];
  child.on('error', ({ code }) => seen.push(code));
  await new Promise<void>((resolve) => child.on('close', () => resolve()));
  expect(seen).toEqual(['ABORT_ERR']);
});

test('Perl and Node programs run', async () => {
  expect(spawnIsolatedSync('perl', ['-e', 'print 1']).stdout).toBe('1');
  expect(await output(process.execPath, ['-p', '1+1'])).toBe('2');
});
