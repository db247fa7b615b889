import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { Sandbox, type SandboxOptions, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { block, hasCgroups, rejection, sleep, testIf, thrown } from '../../support';
import { keepersGone, mountCount, openDescriptors, ownChildren, ownLaunchers, sandboxCgroups } from '../../support/processes';
import { eventually } from '../../support/until';

const line = (sandbox: Sandbox, text: string) => sandbox.spawn('/bin/sh', ['-c', text], { reject: false });

async function within(options: SandboxOptions, body: (sandbox: Sandbox) => Promise<void>): Promise<void> {
  const sandbox = await Sandbox.open(options);
  try {
    await body(sandbox);
  } finally {
    await sandbox.close();
  }
}

describe('programs of one sandbox', () => {
  test('share its files and namespaces, and have the same confinement', () =>
    within({}, async (sandbox) => {
      await line(sandbox, 'echo kept > /tmp/file');
      expect((await line(sandbox, 'cat /tmp/file')).stdout).toBe('kept');
      const facts =
        'readlink /proc/self/ns/*; grep -E "^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)" /proc/self/status; ulimit -a; pwd; env; umask';
      const [first, second] = [(await line(sandbox, facts)).stdout, (await line(sandbox, facts)).stdout];
      expect(second).toBe(first);
      const alone = (await spawnIsolated('/bin/sh', ['-c', facts], { encoding: 'utf8' })).stdout;
      const withoutIds = (text: string) => text.replace(/\[\d+\]|19000\d{5}/g, '');
      expect(withoutIds(first)).toBe(withoutIds(alone));
    }));

  test('see each other, and cannot kill, stop or limit init', () =>
    within({}, async (sandbox) => {
      const one = sandbox.spawn('sleep', ['100'], { reject: false });
      await one.spawned;
      expect((await line(sandbox, 'cat /proc/*/comm')).stdout).toContain('sleep');
      expect((await line(sandbox, 'kill -9 1; kill -STOP 1; echo still here')).stdout).toBe('still here');
      // The program has the same uid as init. The kernel lets processes of one uid change each other's limits, so the
      // seccomp filter must refuse it.
      expect((await line(sandbox, 'prlimit --pid 1 --nofile=0:0')).exitCode).not.toBe(0);
      expect(
        (await line(sandbox, 'prlimit --nofile=50:50 ulimit -n 2>/dev/null; prlimit --pid 1 --nofile >/dev/null && echo ok')).stdout,
      ).toBe('ok');
    }));

  test('can each have their own environment, directory, umask and limits', () =>
    within({ env: { A: '1', B: '2' } }, async (sandbox) => {
      const { stdout } = await sandbox.spawn('/bin/sh', ['-c', 'echo $A $B $C; pwd; ulimit -n; umask'], {
        env: { B: undefined, C: '3' },
        cwd: '/tmp',
        limits: { openFiles: 32 },
        umask: 0o77,
      });
      expect(stdout).toBe('1 3\n/tmp\n32\n0077');
    }));

  test('run in parallel, many at a time', () =>
    within({ limits: { pids: 300 } }, async (sandbox) => {
      const results = await Promise.all(Array.from({ length: 100 }, (_, index) => sandbox.spawn('echo', [`${index}`])));
      expect(results.map(({ stdout }) => Number(stdout))).toEqual(Array.from({ length: 100 }, (_, index) => index));
    }));

  test('lose no output if the event loop is blocked when they exit', () =>
    within({}, async (sandbox) => {
      // The exit of the second program is read right after that of the first, before its output is read. The exit
      // handler of the third one then blocks the event loop.
      const [first, second, third] = [1, 2, 3].map((tenths) => sandbox.spawn('/bin/sh', ['-c', `sleep 0.${tenths}; echo ${tenths}`]));
      first?.events.on('exit', () => block(600));
      third?.events.on('exit', () => block(300));
      const results = await Promise.all([first, second, third]);
      expect(results.map((result) => result?.stdout)).toEqual(['1', '2', '3']);
    }));

  // If a program exits immediately, its start is still reported before its exit.
  test('can be started by the thousands and exit immediately, and the sandbox keeps working', () =>
    within({ limits: { pids: 300 } }, async (sandbox) => {
      for (let round = 0; round < 25; round++) {
        const running = Array.from({ length: 100 }, () => sandbox.spawn('true'));
        for (const { exitCode } of await Promise.all(running)) expect(exitCode).toBe(0);
      }
    }));

  test('are refused with EAGAIN if 256 others are running', () =>
    within({ limits: { pids: 400 } }, async (sandbox) => {
      const running = Array.from({ length: 300 }, () => sandbox.spawn('sleep', ['100'], { reject: false, buffer: false }));
      for (const one of running) one.catch(() => {});
      const outcomes = await Promise.all(
        running.map((one) =>
          one.spawned.then(
            () => 'runs',
            (error) => error.code,
          ),
        ),
      );
      expect(new Set(outcomes)).toEqual(new Set(['runs', 'EAGAIN']));
      expect(outcomes.filter((outcome) => outcome === 'runs')).toHaveLength(256);
    }));

  test('each have their own result: exit code, signal, timeout, abort or missing command', () =>
    within({}, async (sandbox) => {
      expect(await line(sandbox, 'exit 3')).toMatchObject({ exitCode: 3, reason: 'exited' });
      expect(await line(sandbox, 'kill -SEGV $$')).toMatchObject({ signal: 'SIGSEGV', reason: 'signaled' });
      expect(await sandbox.spawn('sleep', ['100'], { timeout: 100, reject: false })).toMatchObject({
        reason: 'timeout',
        signal: 'SIGTERM',
      });
      expect(await rejection(sandbox.spawn('sleep', ['100'], { signal: AbortSignal.timeout(50) }))).toMatchObject({ code: 'ABORT_ERR' });
      expect(await rejection(sandbox.spawn('no-such-command'))).toMatchObject({ code: 'ENOENT', syscall: 'spawn no-such-command' });
      expect(await rejection(sandbox.spawn('true', [], { cwd: '/nonexistent' }))).toMatchObject({ code: 'ENOENT', origin: 'cwd' });
      const killed = sandbox.spawn('sleep', ['100'], { reject: false });
      await killed.spawned;
      killed.kill('SIGKILL');
      expect(await killed).toMatchObject({ reason: 'killed', signal: 'SIGKILL' });
      expect((await line(sandbox, 'echo goes on')).stdout).toBe('goes on');
    }));

  test('can leave processes behind, which do not delay the result and end with the sandbox', async () => {
    const sandbox = await Sandbox.open();
    const { stdout } = await line(sandbox, 'setsid sleep 4242 & echo done');
    expect(stdout).toBe('done');
    await sandbox.close();
    expect(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).not.toContain('sleep 4242');
  });

  test('have their late output collected for a short time after they exit', () =>
    within({}, async (sandbox) => {
      // On a busy machine the output may come too late.
      let stdout = '';
      for (let tries = 0; tries < 10 && stdout !== '1\n2\n3\n4\n5'; tries++)
        ({ stdout } = await line(sandbox, '(for i in 1 2 3 4 5; do echo $i; sleep 0.02; done) & exit 0'));
      expect(stdout).toBe('1\n2\n3\n4\n5');
    }));

  testIf(hasCgroups, 'cgroups', 'are reported as oom only if they were killed for lack of memory', () =>
    within({ limits: { memory: '64M' } }, async (sandbox) => {
      const greedy = 'const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1));';
      expect(await sandbox.spawn(process.execPath, ['-e', greedy], { reject: false })).toMatchObject({ reason: 'oom', signal: 'SIGKILL' });
      const killed = sandbox.spawn('sleep', ['100'], { reject: false });
      await killed.spawned;
      process.kill(killed.pid ?? 0, 'SIGKILL');
      expect(await killed).toMatchObject({ reason: 'signaled', signal: 'SIGKILL' });
    }),
  );
});

describe('the sandbox', () => {
  test('close() ends all its programs and refuses new ones', async () => {
    const sandbox = await Sandbox.open();
    const running = sandbox.spawn('sleep', ['100'], { reject: false });
    await running.spawned;
    const pid = running.pid ?? 0;
    await sandbox.close();
    expect(await running).toMatchObject({ reason: 'killed', signal: 'SIGKILL' });
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(sandbox.closed).toBe(true);
    expect(await rejection(sandbox.spawn('true'))).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    await sandbox.close();
  });

  test('close() with a grace period lets programs exit by themselves', async () => {
    const sandbox = await Sandbox.open();
    const running = line(sandbox, 'trap "echo bye; exit 0" TERM; echo ready; while :; do sleep 0.05; done');
    await new Promise((resolve) => running.stdout?.once('data', resolve));
    await sandbox.close({ grace: 5000 });
    expect(await running).toMatchObject({ stdout: 'ready\nbye', exitCode: 0 });
  });

  test('pause() stops all processes until resume(), and programs that are spawned in between wait', () =>
    within({}, async (sandbox) => {
      const counting = sandbox.spawn('/bin/sh', ['-c', 'i=0; while :; do i=$((i+1)); echo $i > /tmp/count; done'], { reject: false });
      await counting.spawned;
      await sleep(50);
      const ticks = () => readFileSync(`/proc/${counting.pid}/stat`, 'latin1').split(' ').slice(13, 15).join();
      await sandbox.pause();
      await sleep(30);
      const before = ticks();
      await sleep(100);
      expect(ticks()).toBe(before);
      const later = sandbox.spawn('echo', ['later']);
      await sandbox.resume();
      expect((await later).stdout).toBe('later');
      await sleep(100);
      expect(ticks()).not.toBe(before);
    }));

  test('timeout, abort and kill apply to programs that are spawned while it is paused', () =>
    within({}, async (sandbox) => {
      await sandbox.pause();
      const late = sandbox.spawn('echo', ['late'], { timeout: 100, killGrace: 100, reject: false });
      expect(await late).toMatchObject({ reason: 'timeout', stdout: '' });
      const controller = new AbortController();
      const given = sandbox.spawn('echo', ['given'], { signal: controller.signal });
      controller.abort();
      const killed = sandbox.spawn('touch', ['/tmp/killed'], { reject: false });
      expect(killed.kill('SIGKILL')).toBe(true);
      expect(await killed).toMatchObject({ reason: 'killed' });
      await sandbox.resume();
      expect(await rejection(given)).toMatchObject({ code: 'ABORT_ERR' });
      expect((await line(sandbox, 'sleep 0.1; ls /tmp')).stdout).toBe('');
    }));

  test('killing programs before they are resumed does not harm the sandbox', () =>
    within({}, async (sandbox) => {
      for (let round = 0; round < 20; round++) {
        await sandbox.pause();
        const waiting = Array.from({ length: 5 }, () => sandbox.spawn('true', [], { reject: false }));
        for (const one of waiting) one.kill('SIGKILL');
        await sandbox.resume();
        await Promise.all(waiting);
      }
      expect((await line(sandbox, 'echo still')).stdout).toBe('still');
    }));

  test('concurrent pause() and resume() calls run in order, and reject if the sandbox is closed', async () => {
    const sandbox = await Sandbox.open();
    await Promise.all([sandbox.pause(), sandbox.resume(), sandbox.pause(), sandbox.resume()]);
    expect((await sandbox.spawn('echo', ['runs'])).stdout).toBe('runs');
    expect(sandbox.report.freezer).toBe(hasCgroups ? 'cgroup' : 'signal');
    const pausing = sandbox.pause().catch((error) => error.code);
    await sandbox.close();
    expect([undefined, 'ERR_NSJS_CLOSED']).toContain(await pausing);
    expect(await rejection(sandbox.pause())).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  test('close() with a grace period resumes a paused sandbox so that programs can exit', async () => {
    const sandbox = await Sandbox.open();
    const running = line(sandbox, 'trap "echo bye; exit 0" TERM; echo ready; while :; do sleep 0.05; done');
    await new Promise((resolve) => running.stdout?.once('data', resolve));
    await sandbox.pause();
    await sandbox.close({ grace: 5000 });
    expect(await running).toMatchObject({ stdout: 'ready\nbye', exitCode: 0 });
    expect(await rejection(sandbox.close({ grace: -5 }))).toMatchObject({ path: 'grace' });
  });

  test('all signals that are sent while it is paused are delivered', async () => {
    const sandbox = await Sandbox.open();
    const running = sandbox.spawn('sleep', ['100'], { reject: false });
    await running.spawned;
    await sandbox.pause();
    for (let count = 0; count < 2000; count++) running.kill('SIGCONT');
    running.kill('SIGKILL');
    await sandbox.resume();
    expect(await running).toMatchObject({ signal: 'SIGKILL' });
    await sandbox.close();
  });

  test('a listener that throws does not prevent the result', () => {
    const script = `
      process.on('uncaughtException', () => {});
      require('nsjs').Sandbox.open().then(async (sandbox) => {
        const running = sandbox.spawn('true');
        running.events.on('exit', () => { throw new Error('mine'); });
        console.log((await running).exitCode);
        await sandbox.close();
      });`;
    expect(execFileSync(process.execPath, ['-e', script], { cwd: __dirname, encoding: 'utf8', timeout: 20_000 })).toBe('0\n');
  });

  test('a worker thread that ends leaves nothing of its sandboxes behind', async () => {
    const body = "require('nsjs').Sandbox.open().then(() => require('node:worker_threads').parentPort.postMessage('open'))";
    const round = async () => {
      const worker = new Worker(body, { eval: true });
      await once(worker, 'message');
      await worker.terminate();
    };
    await round();
    await keepersGone();
    const before = openDescriptors();
    for (let count = 0; count < 5; count++) await round();
    await keepersGone();
    await eventually(() => expect(openDescriptors()).toBeLessThanOrEqual(before));
    expect(ownLaunchers()).toEqual([]);
  });

  test('a paused sandbox can be closed', async () => {
    const sandbox = await Sandbox.open();
    const running = sandbox.spawn('sleep', ['100'], { reject: false });
    await running.spawned;
    await sandbox.pause();
    await sandbox.close();
    expect(await running).toMatchObject({ signal: 'SIGKILL' });
  });

  test('killing the keeper ends the programs with reason launcher, and no cgroup is left', async () => {
    const sandbox = await Sandbox.open();
    const running = sandbox.spawn('sleep', ['100'], { reject: false });
    await running.spawned;
    const parent = (pid: number) => Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
    process.kill(parent(parent(running.pid ?? 0)), 'SIGKILL');
    expect(await running).toMatchObject({ reason: 'launcher' });
    await sandbox.close();
    expect(sandboxCgroups()).toEqual([]);
  });

  test('a sandbox that cannot be set up is refused and leaves nothing', async () => {
    const before = openDescriptors();
    const mounts = [{ type: 'bind', source: '/nonexistent' }] as const;
    expect(await rejection(Sandbox.open({ mounts }))).toMatchObject({ code: 'ENOENT', origin: 'mounts[0]' });
    expect(thrown(() => Sandbox.open({ hostname: '' }))).toMatchObject({ path: 'hostname' });
    expect(await rejection(Sandbox.open({}, { signal: AbortSignal.abort() }))).toMatchObject({ code: 'ABORT_ERR' });
    expect(thrown(() => Sandbox.open({}, { signal: 5 as unknown as AbortSignal }))).toMatchObject({ path: 'signal' });
    expect(thrown(() => Sandbox.open({}, { sginal: 1 } as object))).toMatchObject({ path: 'sginal' });
    expect(thrown(() => spawnIsolatedSync('true', [], { sandbox: {} as Sandbox }))).toMatchObject({ path: 'sandbox' });
    await keepersGone();
    expect(openDescriptors()).toBeLessThanOrEqual(before);
  });

  test('open() rejects with an AbortError if it is aborted', async () => {
    // With the second delay the sandbox is already open when it is aborted, but this process does not know yet.
    for (const busyMs of [0, 200]) {
      const controller = new AbortController();
      const opening = Sandbox.open({}, { signal: controller.signal });
      block(busyMs);
      controller.abort('enough');
      expect(await rejection(opening)).toMatchObject({ code: 'ABORT_ERR', cause: 'enough' });
    }
  });

  test('spawn() refuses options that apply to the whole sandbox', () =>
    within({}, async (sandbox) => {
      for (const [options, path] of [
        [{ network: 'host' }, 'network'],
        [{ limits: { cpus: [0] } }, 'limits.cpus'],
        [{ nonsense: 1 }, 'nonsense'],
      ] as const) {
        expect(thrown(() => sandbox.spawn('true', [], options as object))).toMatchObject({ path });
      }
    }));

  test('programs run in a sandbox without a pid namespace too', () =>
    within({ proc: 'off', namespaces: { pid: false } }, async (sandbox) => {
      expect(await sandbox.spawn('echo', ['one'])).toMatchObject({ stdout: 'one' });
      expect(await sandbox.spawn('echo', ['two'])).toMatchObject({ stdout: 'two' });
    }));

  test('many sandboxes leave nothing behind', async () => {
    await (await Sandbox.open()).close();
    await keepersGone();
    const before = { fds: openDescriptors(), mounts: mountCount() };
    for (let round = 0; round < 30; round++) {
      const sandbox = await Sandbox.open(round % 3 === 0 ? { root: 'empty' } : {});
      const running = [1, 2].map(() => sandbox.spawn('sleep', ['100'], { reject: false }).catch(() => {}));
      if (round % 2 === 0) await sandbox.spawn('true').catch(() => {});
      await sandbox.close();
      await Promise.all(running);
    }
    await keepersGone();
    await eventually(() => {
      expect(openDescriptors()).toBeLessThanOrEqual(before.fds);
      expect(mountCount()).toBe(before.mounts);
      expect([ownChildren(), ownLaunchers(), sandboxCgroups()]).toEqual([[], [], []]);
    });
  });

  test('an idle sandbox does not keep the process alive', () => {
    const script = "require('nsjs').Sandbox.open().then(() => console.log('open'))";
    expect(execFileSync(process.execPath, ['-e', script], { cwd: __dirname, encoding: 'utf8', timeout: 20_000 })).toBe('open\n');
  });
});

describe('the builder', () => {
  test('is immutable, merges options, and is serialized as its options', () => {
    const base = Sandbox.define({ hostname: 'one', limits: { pids: 10 } });
    const more = base
      .with({ hostname: 'two' })
      .limit({ memory: '64M' })
      .env({ A: '1' })
      .mount({ type: 'dir', target: '/data' })
      .network('none');
    expect(base.options).toEqual({ hostname: 'one', limits: { pids: 10 } });
    expect(JSON.parse(JSON.stringify(more))).toEqual({
      hostname: 'two',
      limits: { pids: 10, memory: '64M' },
      env: { A: '1' },
      mounts: [{ type: 'dir', target: '/data' }],
      network: 'none',
    });
    expect(more.explain().toString()).toContain('SetHostname');
    expect(Object.isFrozen(more.options)).toBe(true);
    expect(thrown(() => base.with({ hostname: '' }))).toMatchObject({ path: 'hostname' });
  });

  test('can be derived from the options of an open sandbox', async () => {
    await within({ hostname: 'one' }, async (sandbox) => {
      const other = await Sandbox.open(sandbox.with({ hostname: 'other' }));
      expect((await other.spawn('uname', ['-n'])).stdout).toBe('other');
      await other.close();
    });
  });
});
