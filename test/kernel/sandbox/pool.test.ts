// Sandboxes that wait for their program. Each runs one program, with the same guarantees as a one-shot run.
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type PoolOptions, type Report, Sandbox, type SandboxOptions, SandboxPool, spawnIsolated } from 'nsjs';
import { hasCgroups, isSlow, rejection, sleep, testIf, thrown } from '../../support';
import { keepersGone, openDescriptors, ownLaunchers, sandboxCgroups } from '../../support/processes';

// Slack for deadlines that are the feature under test: five-fold, and more on slow machines.
const slack = 1000 * (isSlow ? 20 : 1);
const wallTime = isSlow ? 5000 : 500;

async function inPool(options: SandboxOptions, body: (pool: SandboxPool) => Promise<void>, size: PoolOptions = {}): Promise<void> {
  const pool = await SandboxPool.open(options, size);
  try {
    await body(pool);
  } finally {
    await pool.close();
  }
}

async function refilled(pool: SandboxPool, count = 1): Promise<void> {
  for (let waited = 0; pool.ready < count && waited < 10 * slack; waited += 5) await sleep(5);
  expect(pool.ready).toBe(count);
}

// Removes the parts of a report that differ between sandboxes.
const comparable = ({ namespaces: _, hostId: __, cgroup, ...report }: Report) => ({ ...report, cgroup: cgroup?.version });

test('the confinement is the same as that of a one-shot run', () =>
  inPool({}, async (pool) => {
    expect(pool.ready).toBe(1);
    const { report, stdout } = await pool.spawn('sh', ['-c', 'id -u; cat /proc/self/status | grep -E "NoNewPrivs|Seccomp:|CapBnd"']);
    const single = await spawnIsolated('sh', ['-c', 'id -u; cat /proc/self/status | grep -E "NoNewPrivs|Seccomp:|CapBnd"']);
    expect(comparable(report)).toEqual(comparable(single.report));
    expect(stdout).toBe(single.stdout);
    expect(report.namespaces.pid).toBeGreaterThan(0);
  }));

test('a program finds no files, processes or namespaces of the previous one', () =>
  inPool({}, async (pool) => {
    await pool.spawn('sh', ['-c', 'echo mine > /tmp/x; echo mine > ~/x; sleep 100 & echo $!']);
    await refilled(pool);
    const second = await pool.spawn('sh', ['-c', 'cat /tmp/x ~/x; ls /proc | grep -c "^[0-9]"'], { reject: false });
    expect(second.stderr.match(/No such file/g)).toHaveLength(2);
    // The shell, ls and grep; init is hidden.
    expect(Number(second.stdout)).toBeLessThanOrEqual(4);
    // Compare with a sandbox that still exists, because the kernel reuses namespace numbers.
    const running = pool.spawn('sleep', ['100'], { reject: false });
    await running.spawned;
    const other = await pool.spawn('true');
    for (const [type, number] of Object.entries(running.report?.namespaces ?? {})) {
      if (type === 'time') continue;
      expect(other.report.namespaces[type as 'pid']).not.toBe(number);
    }
    running.kill('SIGKILL');
    await running;
  }));

test('the pool is refilled while a program runs, and a program gets a sandbox even if none is ready', () =>
  inPool(
    {},
    async (pool) => {
      const running = pool.spawn('sleep', ['100'], { reject: false });
      expect(pool.ready).toBe(1);
      await refilled(pool, 2);
      const results = await Promise.all(Array.from({ length: 12 }, (_, index) => pool.spawn('echo', [`${index}`])));
      expect(results.map(({ stdout }) => Number(stdout))).toEqual(Array.from({ length: 12 }, (_, index) => index));
      await refilled(pool, 2);
      await running.stop(0);
    },
    { size: 2 },
  ));

test('results and errors are the same as those of a one-shot run', () =>
  inPool({}, async (pool) => {
    const line = (text: string, options = {}) => pool.spawn('sh', ['-c', text], { reject: false, ...options });
    expect(await line('exit 3')).toMatchObject({ exitCode: 3, reason: 'exited' });
    await refilled(pool);
    expect(await line('kill -SEGV $$')).toMatchObject({ signal: 'SIGSEGV', reason: 'signaled' });
    await refilled(pool);
    expect(await line('trap "" TERM; while :; do sleep 0.1; done', { timeout: isSlow ? 3000 : 300, killGrace: 100 })).toMatchObject({
      reason: 'timeout',
      signal: 'SIGKILL',
      limits: { time: 'timeout' },
    });
    await refilled(pool);
    expect(await line('yes', { maxBuffer: 1000 })).toMatchObject({ reason: 'output' });
    await refilled(pool);
    const killed = line('sleep 100');
    await killed.spawned;
    expect(killed.stats().pids.current).toBeGreaterThanOrEqual(1);
    killed.kill('SIGKILL');
    expect(await killed).toMatchObject({ reason: 'killed', signal: 'SIGKILL' });
    await refilled(pool);
    const signalled = line('trap "exit 7" USR1; echo ready; while :; do sleep 0.05; done');
    await once(signalled.stdout as NodeJS.ReadableStream, 'data');
    signalled.kill('SIGUSR1');
    expect(await signalled).toMatchObject({ exitCode: 7 });
    await refilled(pool);
    const abort = new AbortController();
    const aborted = line('sleep 100', { signal: abort.signal });
    setTimeout(() => abort.abort(), 100);
    expect(await rejection(aborted)).toMatchObject({ name: 'AbortError' });
    await refilled(pool);
    expect(await pool.spawn('cat', [], { input: 'a line\n' })).toMatchObject({ stdout: 'a line' });
    await refilled(pool);
    expect(await rejection(pool.spawn('nowhere'))).toMatchObject({ code: 'ENOENT', syscall: 'spawn nowhere' });
    await refilled(pool);
    expect(await rejection(pool.spawn('true', [], { cwd: '/nowhere' }))).toMatchObject({ code: 'ENOENT', origin: 'cwd' });
    await refilled(pool);
    expect(await pool.spawn('sh', ['-c', 'echo $A; pwd'], { env: { A: 'b' }, cwd: '/tmp' })).toMatchObject({ stdout: 'b\n/tmp' });
  }));

testIf(hasCgroups, 'cgroups', 'cgroup limits are enforced and counted', () =>
  inPool({ limits: { memory: '32M', pids: 8 } }, async (pool) => {
    const eater = await pool.spawn('perl', ['-e', '$x = "a" x (64 * 2 ** 20)'], { reject: false });
    expect(eater).toMatchObject({ reason: 'oom', signal: 'SIGKILL' });
    expect(eater.limits.oomKills).toBeGreaterThan(0);
    await refilled(pool);
    const forker = await pool.spawn('sh', ['-c', 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; wait'], { reject: false });
    expect(forker.limits.pids).toBeGreaterThan(0);
    expect(forker.usage.pidsPeak).toBe(9);
    expect(forker.usage.memoryPeak).toBeGreaterThan(0);
  }),
);

test('time limits start with the program, not with its sandbox', () =>
  inPool({ limits: { wallTime } }, async (pool) => {
    await sleep(wallTime + 200);
    expect(pool.ready).toBe(1);
    expect(await pool.spawn('sleep', ['0.2'])).toMatchObject({ exitCode: 0 });
    await refilled(pool);
    // The limit is enforced although the program stops itself and the event loop is blocked.
    const running = pool.spawn('sh', ['-c', 'trap "" TERM; sleep 100 & kill -STOP $$'], { reject: false });
    await running.spawned;
    execFileSync('sleep', [`${(wallTime + 200) / 1000}`]);
    expect(() => process.kill(running.pid ?? 0, 0)).toThrow('ESRCH');
    const late = await running;
    expect(late).toMatchObject({ reason: 'timeout', signal: 'SIGKILL', limits: { time: 'wallTime' } });
    expect(late.durationMs).toBeGreaterThanOrEqual(wallTime - 5);
    expect(late.durationMs).toBeLessThan(wallTime + slack);
  }));

test('sandboxes without a cgroup for limits have a freezer each', () =>
  inPool(
    { cgroup: 'off', limits: { wallTime: 60_000 } },
    async (pool) => {
      const both = await Promise.all([pool.spawn('sleep', ['0.3']), pool.spawn('sleep', ['0.3'])]);
      expect(both.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
      await refilled(pool, 2);
      expect(await pool.spawn('true')).toMatchObject({ exitCode: 0 });
    },
    { size: 2 },
  ));

test('cpuTime and idle count all processes that the program starts', async () => {
  await inPool({ limits: { cpuTime: 300 } }, async (pool) => {
    const spinning = await pool.spawn('sh', ['-c', 'while :; do :; done & while :; do :; done'], { reject: false });
    expect(spinning).toMatchObject({ reason: 'timeout', limits: { time: 'cpuTime' } });
  });
  await inPool({ limits: { idle: 300 } }, async (pool) => {
    expect(await pool.spawn('sleep', ['100'], { reject: false })).toMatchObject({ reason: 'timeout', limits: { time: 'idle' } });
  });
});

test('a waiting sandbox that dies is replaced', () =>
  inPool({}, async (pool) => {
    const [launcher = 0] = ownLaunchers();
    process.kill(launcher, 'SIGKILL');
    for (let waited = 0; pool.ready > 0 && waited < slack; waited += 5) await sleep(5);
    expect(pool.ready).toBe(0);
    expect(await pool.spawn('echo', ['here'])).toMatchObject({ stdout: 'here' });
    await refilled(pool);
  }));

test('a pool takes the options of a sandbox, and spawn() refuses them', async () => {
  await inPool({ env: { A: 'a' }, hostname: 'one' }, async (pool) => {
    expect(await pool.spawn('sh', ['-c', 'echo $A $(cat /etc/hostname)'])).toMatchObject({ stdout: 'a one' });
    expect(thrown(() => pool.spawn('true', [], { limits: { memory: '1G' } } as never))).toMatchObject({ path: 'limits' });
    expect(thrown(() => pool.spawn('true', [], { hostname: 'two' } as never))).toMatchObject({ path: 'hostname' });
    expect(thrown(() => pool.spawn('true', [], { nothing: 1 } as never))).toMatchObject({ path: 'nothing' });
    const { stdout } = await spawnIsolated('sh', ['-c', 'echo $A'], { sandbox: pool });
    expect(stdout).toBe('a');
  });
  await inPool(Sandbox.define({ hostname: 'built' }).options, async (pool) => {
    expect(await pool.spawn('cat', ['/etc/hostname'])).toMatchObject({ stdout: 'built' });
  });
  expect(thrown(() => SandboxPool.open({}, { size: 0 }))).toMatchObject({ path: 'size' });
  expect(thrown(() => SandboxPool.open({}, { sice: 1 } as never))).toMatchObject({ path: 'sice' });
  expect(thrown(() => SandboxPool.open({ hostname: 3 } as never))).toMatchObject({ path: 'hostname' });
});

test('with verify, the report has the facts that the kernel reports on sandbox and program', () =>
  inPool({ verify: true }, async (pool) => {
    const { report } = await pool.spawn('true');
    expect(report.kernel).toMatchObject({ noNewPrivileges: true, seccomp: { mode: 2 } });
    expect(report.kernel?.mounts?.length).toBeGreaterThan(3);
  }));

test('open() rejects if the sandboxes cannot be set up, and nothing is left', async () => {
  await keepersGone();
  const before = openDescriptors();
  const options: SandboxOptions = { mounts: [{ type: 'dir', target: '/usr/x' }] };
  const error = await rejection(SandboxPool.open(options, { size: 3 }));
  const single = await rejection(spawnIsolated('true', [], options));
  expect(error).toMatchObject({ code: single.code, origin: single.origin });
  await keepersGone();
  expect(ownLaunchers()).toEqual([]);
  expect(openDescriptors()).toBeLessThanOrEqual(before);
});

test('a closed pool leaves nothing behind, and running programs go on', async () => {
  const before = openDescriptors();
  const pool = await SandboxPool.open({}, { size: 3 });
  const running = pool.spawn('sh', ['-c', 'read x; echo $x'], { stdio: 'pipe' });
  await running.spawned;
  await pool.close();
  expect(pool.ready).toBe(0);
  expect(await rejection(pool.spawn('true'))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  running.stdin?.end('went on\n');
  expect(await running).toMatchObject({ stdout: 'went on' });
  await keepersGone();
  expect(ownLaunchers()).toEqual([]);
  expect(sandboxCgroups()).toEqual([]);
  for (let waited = 0; openDescriptors() > before && waited < slack; waited += 20) await sleep(20);
  expect(openDescriptors()).toBeLessThanOrEqual(before);
});

test('a spawn() that fails for lack of descriptors also ends its sandbox', () => {
  const code = `const { openSync, closeSync } = require('node:fs');
    const { SandboxPool } = require(${JSON.stringify(require.resolve('nsjs'))});
    const sleep = () => new Promise((resolve) => setTimeout(resolve, 300));
    (async () => {
      const pool = await SandboxPool.open({}, { size: 2 });
      const held = [];
      try { for (;;) held.push(openSync('/dev/null')); } catch {}
      for (let index = 0; index < 2; index++) await pool.spawn('true').catch(({ code }) => console.log(code));
      for (const fd of held) closeSync(fd);
      await sleep();
      console.log((await pool.spawn('echo', ['went on'])).stdout);
      await pool.close();
      await sleep();
      console.log('left', require('node:fs').readFileSync('/proc/self/task/' + process.pid + '/children', 'latin1'));
    })();`;
  const line = `ulimit -n 300; exec "$0" -e "$1"`;
  const text = execFileSync('/bin/sh', ['-c', line, process.execPath, code], { encoding: 'utf8', timeout: 60 * slack });
  expect(text).toBe('EMFILE\nEMFILE\nwent on\nleft \n');
});

test('without a pid namespace, the launcher is as protected as in a one-shot run', () =>
  inPool({ proc: 'off', namespaces: { pid: false } }, async (pool) => {
    const line = 'kill -9 $PPID 2>/dev/null; echo $?';
    const [late, single] = [
      await pool.spawn('sh', ['-c', line]),
      await spawnIsolated('sh', ['-c', line], { proc: 'off', namespaces: { pid: false } }),
    ];
    expect(late.report.landlock).toEqual(single.report.landlock);
    expect(late.stdout).toBe(single.stdout);
  }));

test('a pool in a worker thread causes no warnings about descriptors', async () => {
  const code = `const { SandboxPool } = require(${JSON.stringify(require.resolve('nsjs'))});
    SandboxPool.open().then(async (pool) => { await pool.spawn('true'); await pool.close(); })`;
  const run = `new (require('node:worker_threads').Worker)(${JSON.stringify(code)}, { eval: true })`;
  const { stderr, status } = spawnSync(process.execPath, ['-e', run], { encoding: 'utf8', timeout: 60 * slack });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
});

test('an unused pool does not keep the process alive', () => {
  const code = `require(${JSON.stringify(require.resolve('nsjs'))}).SandboxPool.open({}, { size: 2 }).then(() => console.log('open'))`;
  expect(execFileSync(process.execPath, ['-e', code], { encoding: 'utf8', timeout: 20 * slack })).toBe('open\n');
  expect(ownLaunchers().map((pid) => readFileSync(`/proc/${pid}/stat`, 'latin1'))).toEqual([]);
});
