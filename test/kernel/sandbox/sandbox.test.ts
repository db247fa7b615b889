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
  test('share its files and its namespaces, and are confined alike', () =>
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

  test('see each other, and init as process 1', () =>
    within({}, async (sandbox) => {
      const one = sandbox.spawn('sleep', ['100'], { reject: false });
      await one.spawned;
      expect((await line(sandbox, 'cat /proc/*/comm')).stdout).toContain('sleep');
      expect((await line(sandbox, 'kill -9 1; kill -STOP 1; echo still here')).stdout).toBe('still here');
      // The program's id is init's as well: what the kernel lets one id do to itself the filter must refuse.
      expect((await line(sandbox, 'prlimit --pid 1 --nofile=0:0')).exitCode).not.toBe(0);
      expect(
        (await line(sandbox, 'prlimit --nofile=50:50 ulimit -n 2>/dev/null; prlimit --pid 1 --nofile >/dev/null && echo ok')).stdout,
      ).toBe('ok');
    }));

  test('may have other environment, directory and limits each', () =>
    within({ env: { A: '1', B: '2' } }, async (sandbox) => {
      const { stdout } = await sandbox.spawn('/bin/sh', ['-c', 'echo $A $B $C; pwd; ulimit -n; umask'], {
        env: { B: undefined, C: '3' },
        cwd: '/tmp',
        limits: { openFiles: 32 },
        umask: 0o77,
      });
      expect(stdout).toBe('1 3\n/tmp\n32\n0077');
    }));

  test('run side by side, many at a time', () =>
    within({ limits: { pids: 300 } }, async (sandbox) => {
      const results = await Promise.all(Array.from({ length: 100 }, (_, index) => sandbox.spawn('echo', [`${index}`])));
      expect(results.map(({ stdout }) => Number(stdout))).toEqual(Array.from({ length: 100 }, (_, index) => index));
    }));

  test('what one has written is read, however busy this process is when it ends', () =>
    within({}, async (sandbox) => {
      // Its end is told right after the first one's, before its output is looked for, and then the third one's end keeps the loop busy.
      const [first, second, third] = [1, 2, 3].map((tenths) => sandbox.spawn('/bin/sh', ['-c', `sleep 0.${tenths}; echo ${tenths}`]));
      first?.events.on('exit', () => block(600));
      third?.events.on('exit', () => block(300));
      const results = await Promise.all([first, second, third]);
      expect(results.map((result) => result?.stdout)).toEqual(['1', '2', '3']);
    }));

  // One that ends at once is still told of: its start before its end.
  test('thousands that end as soon as they start leave the sandbox whole', () =>
    within({ limits: { pids: 300 } }, async (sandbox) => {
      for (let round = 0; round < 25; round++) {
        const running = Array.from({ length: 100 }, () => sandbox.spawn('true'));
        for (const { exitCode } of await Promise.all(running)) expect(exitCode).toBe(0);
      }
    }));

  test('past the last place one is refused with an error', () =>
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

  test('the end of one is its own: exit code, signal, timeout, abort, missing command', () =>
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

  test('what one leaves running does not keep its result, and ends with the sandbox', async () => {
    const sandbox = await Sandbox.open();
    const { stdout } = await line(sandbox, 'setsid sleep 4242 & echo done');
    expect(stdout).toBe('done');
    await sandbox.close();
    expect(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).not.toContain('sleep 4242');
  });

  test('output that comes late, but not too late, is kept', () =>
    within({}, async (sandbox) => {
      // On a busy machine it may come too late.
      let stdout = '';
      for (let tries = 0; tries < 10 && stdout !== '1\n2\n3\n4\n5'; tries++)
        ({ stdout } = await line(sandbox, '(for i in 1 2 3 4 5; do echo $i; sleep 0.02; done) & exit 0'));
      expect(stdout).toBe('1\n2\n3\n4\n5');
    }));

  testIf(hasCgroups, 'cgroups', 'lack of memory is told of the program that was killed for it', () =>
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
  test('its end ends every program in it; it is closed from then on', async () => {
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

  test('close with a grace lets programs end by themselves', async () => {
    const sandbox = await Sandbox.open();
    const running = line(sandbox, 'trap "echo bye; exit 0" TERM; echo ready; while :; do sleep 0.05; done');
    await new Promise((resolve) => running.stdout?.once('data', resolve));
    await sandbox.close({ grace: 5000 });
    expect(await running).toMatchObject({ stdout: 'ready\nbye', exitCode: 0 });
  });

  test('pause stops every process, resume lets them go on; what is spawned meanwhile waits', () =>
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

  test('time passes for what is spawned while it is paused', () =>
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

  test('programs that are killed before they are let go on take nothing with them', () =>
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

  test('pause and resume asked for at once are done one after the other; closed meanwhile they say so', async () => {
    const sandbox = await Sandbox.open();
    await Promise.all([sandbox.pause(), sandbox.resume(), sandbox.pause(), sandbox.resume()]);
    expect((await sandbox.spawn('echo', ['runs'])).stdout).toBe('runs');
    expect(sandbox.report.freezer).toBe(hasCgroups ? 'cgroup' : 'signal');
    const pausing = sandbox.pause().catch((error) => error.code);
    await sandbox.close();
    expect([undefined, 'ERR_NSJS_CLOSED']).toContain(await pausing);
    expect(await rejection(sandbox.pause())).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
  });

  test('a paused one closed with a grace goes on to end by itself', async () => {
    const sandbox = await Sandbox.open();
    const running = line(sandbox, 'trap "echo bye; exit 0" TERM; echo ready; while :; do sleep 0.05; done');
    await new Promise((resolve) => running.stdout?.once('data', resolve));
    await sandbox.pause();
    await sandbox.close({ grace: 5000 });
    expect(await running).toMatchObject({ stdout: 'ready\nbye', exitCode: 0 });
    expect(await rejection(sandbox.close({ grace: -5 }))).toMatchObject({ path: 'grace' });
  });

  test('signals that are sent while it is paused arrive, however many', async () => {
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

  test('a listener that throws keeps no result', () => {
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

  test('a worker that ends leaves nothing of its sandboxes', async () => {
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

  test('a paused one can be closed', async () => {
    const sandbox = await Sandbox.open();
    const running = sandbox.spawn('sleep', ['100'], { reject: false });
    await running.spawned;
    await sandbox.pause();
    await sandbox.close();
    expect(await running).toMatchObject({ signal: 'SIGKILL' });
  });

  test('the keeper is killed: programs end, the reason says so, the sandbox is closed', async () => {
    const sandbox = await Sandbox.open();
    const running = sandbox.spawn('sleep', ['100'], { reject: false });
    await running.spawned;
    const parent = (pid: number) => Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
    process.kill(parent(parent(running.pid ?? 0)), 'SIGKILL');
    expect(await running).toMatchObject({ reason: 'launcher' });
    await sandbox.close();
    expect(sandboxCgroups()).toEqual([]);
  });

  test('what can not be set up rejects and leaves nothing', async () => {
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

  test('aborted while it opens, it rejects with an AbortError', async () => {
    // Also where it is open by then, and this process does not know.
    for (const busyMs of [0, 200]) {
      const controller = new AbortController();
      const opening = Sandbox.open({}, { signal: controller.signal });
      block(busyMs);
      controller.abort('enough');
      expect(await rejection(opening)).toMatchObject({ code: 'ABORT_ERR', cause: 'enough' });
    }
  });

  test('options of the sandbox are not for one program', () =>
    within({}, async (sandbox) => {
      for (const [options, path] of [
        [{ network: 'host' }, 'network'],
        [{ limits: { cpus: [0] } }, 'limits.cpus'],
        [{ nonsense: 1 }, 'nonsense'],
      ] as const) {
        expect(thrown(() => sandbox.spawn('true', [], options as object))).toMatchObject({ path });
      }
    }));

  test('without a pid namespace programs run in it too', () =>
    within({ proc: 'off', namespaces: { pid: false } }, async (sandbox) => {
      expect(await sandbox.spawn('echo', ['one'])).toMatchObject({ stdout: 'one' });
      expect(await sandbox.spawn('echo', ['two'])).toMatchObject({ stdout: 'two' });
    }));

  test('nothing remains of many', async () => {
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
      expect({ fds: openDescriptors(), mounts: mountCount() }).toEqual(before);
      expect([ownChildren(), ownLaunchers(), sandboxCgroups()]).toEqual([[], [], []]);
    });
  });

  test('an idle one does not keep the process alive', () => {
    const script = "require('nsjs').Sandbox.open().then(() => console.log('open'))";
    expect(execFileSync(process.execPath, ['-e', script], { cwd: __dirname, encoding: 'utf8', timeout: 20_000 })).toBe('open\n');
  });
});

describe('the builder', () => {
  test('is immutable, adds up, and is its options as JSON', () => {
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

  test('opens, and a sandbox gives its options back', async () => {
    await within({ hostname: 'one' }, async (sandbox) => {
      const other = await Sandbox.open(sandbox.with({ hostname: 'other' }));
      expect((await other.spawn('uname', ['-n'])).stdout).toBe('other');
      await other.close();
    });
  });
});
