// Promises, streams and events of a program, whatever the caller does with them.

import { AsyncLocalStorage } from 'node:async_hooks';
import { constants } from 'node:buffer';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Sandbox, SandboxPool, type SyscallCall, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { callNumber, rejection, thrown } from '../../support';

/** Runs a script with nsjs in a separate Node process. Returns its exit code and output. */
async function ends(script: string) {
  const text = `const { spawnIsolated, Sandbox, SandboxPool } = require(${JSON.stringify(join(process.cwd(), 'dist'))});
    process.on('warning', (warning) => console.log('warning', warning.name));
    (async () => { ${script} })();`;
  return promisify(execFile)(process.execPath, ['-e', text]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

describe('the promise settles whatever the caller does to the streams', () => {
  const both = (title: string, body: (spawn: typeof spawnIsolated) => Promise<unknown>) => {
    test(`${title}, in a one-shot run`, () => body(spawnIsolated));
    test(`${title}, in a long-lived sandbox`, async () => {
      await using sandbox = await Sandbox.open();
      await body(((...args: Parameters<Sandbox['spawn']>) => sandbox.spawn(...args)) as typeof spawnIsolated);
    });
  };

  both('setEncoding does not change the result', async (spawn) => {
    for (const encoding of ['utf8', 'latin1', 'hex', 'base64', 'utf16le'] as const) {
      const running = spawn('printf', ['a\\303\\244bcde']);
      running.stdout?.setEncoding(encoding);
      expect((await running).stdout).toBe('aäbcde');
    }
    const bytes = spawn('printf', ['a\\377\\n'], { encoding: 'buffer' });
    bytes.stdout?.setEncoding('utf8');
    expect([...(await bytes).stdout]).toEqual([0x61, 0xff, 0x0a]);
    const lines = spawn('printf', ['a\\nb\\n']);
    lines.stdout?.setEncoding('utf8');
    const found: string[] = [];
    for await (const line of lines) found.push(line);
    expect(found).toEqual(['a', 'b']);
  });

  both('no output is lost if it is read line by line, slowly, or after the end', async (spawn) => {
    for (let round = 0; round < 60; round++) {
      const found: string[] = [];
      for await (const line of spawn('printf', ['a\\nb\\n'])) found.push(line);
      expect(found).toEqual(['a', 'b']);
    }
    const running = spawn('sh', ['-c', 'head -c 200000 /dev/zero; (sleep 1; echo late) & exit 0']);
    let size = 0;
    for await (const chunk of running.stdout ?? []) {
      size += (chunk as Buffer).length;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    expect(size).toBeGreaterThanOrEqual(200_000);
    const unread = spawn('head', ['-c', '60000', '/dev/zero']);
    unread.stdout?.on('readable', () => {});
    expect((await unread).stdout).toHaveLength(60_000);
    let left = 0;
    for (let chunk = unread.stdout?.read(); chunk !== null; chunk = unread.stdout?.read()) left += (chunk as Buffer).length;
    expect(left).toBe(60_000);
  });

  test('its methods work when detached, and Promise.resolve returns the same promise', async () => {
    const running = spawnIsolated('sleep', ['100'], { reject: false });
    const { spawned, kill, stats, pid } = running;
    expect([pid, Promise.resolve(running) === running, running.then(() => {}).constructor]).toEqual([undefined, true, Promise]);
    await spawned;
    expect(stats().pids.current).toBeGreaterThan(0);
    expect(kill('SIGKILL')).toBe(true);
    expect((await running).reason).toBe('killed');
  });

  both('streams can be paused, destroyed or left unread', async (spawn) => {
    const paused = spawn('head', ['-c', '30000', '/dev/zero']);
    paused.stdout?.pause();
    expect((await paused).stdout).toHaveLength(30_000);
    const unread = spawn('head', ['-c', '30000', '/dev/zero']);
    unread.stdout?.on('readable', () => {});
    expect((await unread).stdout).toHaveLength(30_000);
    const destroyed = spawn('sleep', ['0.1'], { reject: false });
    destroyed.stdout?.destroy(new Error('mine'));
    destroyed.stderr?.destroy();
    expect((await destroyed).reason).toBe('exited');
    const halved = spawn('yes', [], { reject: false });
    for await (const _ of halved.stdout ?? []) break;
    expect((await halved).signal).toBe('SIGPIPE');
  });
});

describe('truncated output', () => {
  test('ends between characters', async () => {
    const text = 'aä€😀'; // 1, 2, 3 and 4 bytes
    const whole = [0, 1, 1, 3, 3, 3, 6, 6, 6, 6];
    for (const [maxBuffer, bytes] of whole.entries()) {
      const options = { maxBuffer, reject: false } as const;
      const expected = Buffer.from(text).toString('utf8', 0, bytes);
      expect((await spawnIsolated('printf', ['%s', text], options)).stdout).toBe(expected);
      expect(spawnIsolatedSync('printf', ['%s', text], options).stdout).toBe(expected);
      expect((await spawnIsolated('printf', ['%s', text], { ...options, encoding: 'buffer' })).stdout).toHaveLength(maxBuffer);
    }
    // An incomplete character at the end of output that was not truncated is kept.
    expect((await spawnIsolated('printf', ['a\\303'])).stdout).toBe('a\ufffd');
  });

  test('binary output keeps its final line break, and text does not', async () => {
    expect((await spawnIsolated('printf', ['a\\r\\n'], { encoding: 'buffer' })).stdout.toString()).toBe('a\r\n');
    expect(spawnIsolatedSync('printf', ['a\\n'], { encoding: 'buffer' }).stdout.toString()).toBe('a\n');
    expect((await spawnIsolated('printf', ['a\\r\\n'])).stdout).toBe('a');
  });

  test('a maxBuffer larger than a string or buffer can be is refused immediately', () => {
    expect(thrown(() => spawnIsolated('true', [], { maxBuffer: '1G' }))).toMatchObject({ path: 'maxBuffer' });
    // In newer versions of Node no safe integer exceeds the maximum length of a buffer.
    if (constants.MAX_LENGTH < Number.MAX_SAFE_INTEGER)
      expect(thrown(() => spawnIsolatedSync('true', [], { maxBuffer: 2 ** 53 - 1, encoding: 'buffer' }))).toMatchObject({
        path: 'maxBuffer',
      });
  });
});

describe('programs whose promise is not awaited', () => {
  test.each([
    ['a sandbox that is closed', "const s = await Sandbox.open(); const p = s.spawn('sleep', ['9']); await s.close();"],
    [
      'a sandbox that is disposed',
      "{ await using s = await Sandbox.open(); s.spawn('sleep', ['9']); }"
        .replace('await using s =', 'const s =')
        .replace('; }', '; await s[Symbol.asyncDispose]() }'),
    ],
    ['SIGKILL', "const p = spawnIsolated('sleep', ['9']); p.kill('SIGKILL');"],
    ['SIGTERM, later', "const p = spawnIsolated('sleep', ['9']); setTimeout(() => p.kill(), 50);"],
    ['stop', "const p = spawnIsolated('sleep', ['9']); p.stop(0);"],
    ['abort', "const c = new AbortController(); spawnIsolated('sleep', ['9'], { signal: c.signal }); setTimeout(() => c.abort(), 50);"],
    ['a pool', "const pool = await SandboxPool.open(); const p = pool.spawn('sleep', ['9']); setTimeout(() => p.kill('SIGKILL'), 50);"],
    ['an awaited spawned', "try { const p = spawnIsolated('/none'); await p.spawned; await p } catch {}"],
    ['an awaited exited', "const p = spawnIsolated('false'); await p.exited;"],
    ['a listener for error', "spawnIsolated('/none').events.on('error', () => {});"],
    ['a ChildProcess', "spawnIsolated('/none').asChildProcess().on('error', () => {});"],
  ])('%s does not crash the caller’s process', async (_, script) => {
    expect(await ends(script)).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('the promise settles even if an exit listener throws', async () => {
    const script = `process.on('uncaughtException', () => {}); const s = await Sandbox.open(); const p = s.spawn('sleep', ['9'], { reject: false });
      p.events.on('exit', () => { throw new Error('mine') }); await p.spawned; await s.close(); console.log((await p).reason)`;
    expect(await ends(script)).toEqual({ code: 0, stdout: 'killed\n', stderr: '' });
  });

  test('an unhandled failure ends the process, and an awaited one rejects the promise', async () => {
    expect((await ends("spawnIsolated('false');")).code).toBe(1);
    expect((await ends("spawnIsolated('/none');")).code).toBe(1);
    const running = spawnIsolated('sleep', ['9']);
    running.kill('SIGKILL');
    expect(await rejection(running)).toMatchObject({ code: 'ERR_NSJS_EXIT', reason: 'killed' });
  });

  test('one AbortSignal for many programs and sandboxes causes no warning', async () => {
    const script = `const c = new AbortController(); const { signal } = c;
      const s = await Sandbox.open({ limits: { pids: 100 } }, { signal });
      const all = Array.from({ length: 20 }, (_, i) => (i % 2 ? s.spawn('sleep', ['9'], { signal }) : spawnIsolated('sleep', ['9'], { signal })).catch((e) => e.code));
      setTimeout(() => c.abort(), 300); console.log((await Promise.all(all)).filter((code) => code !== 'ABORT_ERR').length);`;
    expect(await ends(script)).toEqual({ code: 0, stdout: '0\n', stderr: '' });
  });
});

test('an AbortSignal for a sandbox and a program in it rejects the program with an AbortError', async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const sandbox = await Sandbox.open({}, { signal });
  const [mine, other] = [sandbox.spawn('sleep', ['9'], { signal }), sandbox.spawn('sleep', ['9'])];
  await mine.spawned;
  controller.abort('enough');
  expect(await rejection(mine)).toMatchObject({ code: 'ABORT_ERR', cause: 'enough' });
  expect(await rejection(other)).toMatchObject({ reason: 'killed' });
  await sandbox.ended;
});

describe('AsyncLocalStorage', () => {
  const storage = new AsyncLocalStorage<string>();

  test('has the caller’s store in every event and handler', async () => {
    await using sandbox = await Sandbox.open();
    await using pool = await SandboxPool.open();
    const spawns = [
      (options: object) => spawnIsolated('perl', ['-e', `print "a"; syscall(${callNumber('getpgid')}, 0)`], options),
      (options: object) => sandbox.spawn('perl', ['-e', `print "a"; syscall(${callNumber('getpgid')}, 0)`], options),
      (options: object) => pool.spawn('perl', ['-e', `print "a"; syscall(${callNumber('getpgid')}, 0)`], options),
    ];
    for (const [index, spawn] of spawns.entries()) {
      const seen: Record<string, string | undefined> = {};
      const running = storage.run(`caller ${index}`, () => {
        const note = (name: string) => () => {
          seen[name] = storage.getStore();
        };
        const answer = (call: SyscallCall) => {
          note('onSyscall')();
          return call.allow();
        };
        const started = spawn({
          onSyscall: { getpgid: answer },
          reject: false,
        });
        started.events.on('spawn', note('spawn')).on('exit', note('exit')).on('close', note('close'));
        started.stdout?.on('data', note('data'));
        return started;
      });
      await Promise.all([running, once(running.events, 'close')]);
      const mine = `caller ${index}`;
      expect(seen).toEqual({ spawn: mine, exit: mine, close: mine, data: mine, onSyscall: mine });
    }
  });
});
