// Ways in which a program can end, and the reason that is reported for each: never a wrong one, in many rounds.
import { readFileSync } from 'node:fs';
import { type Result, Sandbox, type SpawnOptions, spawnIsolated } from 'nsjs';
import { childrenOf } from '../../../dist/proc/processes';
import { block, cgroups, hasCgroups, isSlow } from '../../support';

const rounds = Number(process.env.NSJS_ROUNDS ?? (isSlow ? 2 : 50));
// Runs at a time: enough that exits coincide, not so many that load makes the time limits meaningless.
const width = isSlow ? 2 : 5;
const has = (name: 'cpu') => hasCgroups && cgroups.version !== undefined && name in cgroups.parents;

type Ended = Pick<Result, 'reason' | 'exitCode' | 'signal' | 'limits'>;
type Expected = {
  readonly reason: string;
  readonly exitCode?: number | null;
  readonly signal?: string | null;
  readonly time?: string;
  readonly oomKills?: number | 'some';
};

const run =
  (line: string, options: SpawnOptions = {}) =>
  (): Promise<Ended> =>
    spawnIsolated('/bin/sh', ['-c', line], { reject: false, ...options });
const perl =
  (program: string, options: SpawnOptions = {}) =>
  (): Promise<Ended> =>
    spawnIsolated('perl', ['-e', program], { reject: false, ...options });

/** Starts a program and calls `act` once it runs. */
const started =
  (line: string, act: (run: ReturnType<typeof spawnIsolated>, abort: AbortController) => void, options: SpawnOptions = {}) =>
  async () => {
    const abort = new AbortController();
    const handle = spawnIsolated('/bin/sh', ['-c', line], { reject: false, signal: abort.signal, ...options });
    await handle.spawned;
    act(handle, abort);
    return handle as Promise<Ended>;
  };

/** Runs the program in a long-lived sandbox, next to another one that must survive. */
const inside =
  (line: string, options: SpawnOptions = {}, opened = {}) =>
  async (): Promise<Ended> => {
    await using sandbox = await Sandbox.open(opened);
    const other = sandbox.spawn('sleep', ['100'], { reject: false });
    const result = await sandbox.spawn('/bin/sh', ['-c', line], { reject: false, ...options });
    if (sandbox.closed) throw new Error('the sandbox ended as well');
    other.kill('SIGKILL');
    return result;
  };

/**
 * Runs a program in a sandbox whose init is then killed from outside. An earlier OOM kill of another program must not
 * affect the reason.
 */
const insideKilled = async (): Promise<Ended> => {
  await using sandbox = await Sandbox.open(hasCgroups ? { limits: { memory: '40M' } } : {});
  if (hasCgroups && (await sandbox.spawn('/bin/sh', ['-c', `exec ${bomb}`], { reject: false })).reason !== 'oom') throw new Error('no oom');
  const handle = sandbox.spawn('sleep', ['100'], { reject: false });
  await handle.spawned;
  const init = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${handle.pid}/status`, 'latin1'))?.[1]);
  process.kill(init, 'SIGKILL');
  const { reason } = await sandbox.ended;
  if (reason !== 'killed') throw new Error(`the sandbox: ${reason}`);
  return handle;
};

/** Starts a run whose keeper or init is then killed from outside. */
const killed = (which: 'keeper' | 'init') => async (): Promise<Ended> => {
  const handle = spawnIsolated('sleep', ['100'], { reject: false });
  await handle.spawned;
  const status = readFileSync(`/proc/${handle.pid}/status`, 'latin1');
  const init = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1]);
  const keeper = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${init}/status`, 'latin1'))?.[1]);
  expect(childrenOf(keeper)).toEqual([init]);
  process.kill(which === 'init' ? init : keeper, 'SIGKILL');
  return handle;
};

const eat = (megabytes: number) => `my @a; push @a, "x" x 1048576 for 1..${megabytes};`;
const bomb = `perl -e '${eat(200)}'`;
const memory = { limits: { memory: '24M' } } as const;

const ways: Readonly<Record<string, readonly [expected: Expected, die: () => Promise<Ended>]>> = {
  'it returns 0': [{ reason: 'exited', exitCode: 0, oomKills: 0 }, run('true')],
  'it returns 1': [{ reason: 'exited', exitCode: 1 }, run('exit 1')],
  'it returns 137, as if it had been killed': [{ reason: 'exited', exitCode: 137, oomKills: 0 }, run('exit 137')],
  'it returns 124, as if time had run out': [{ reason: 'exited', exitCode: 124 }, run('exit 124')],
  'it kills itself with SIGKILL': [{ reason: 'signaled', signal: 'SIGKILL', oomKills: 0 }, run('kill -KILL $$')],
  'it kills itself with SIGKILL near its limit of memory': [
    { reason: 'signaled', signal: 'SIGKILL', oomKills: 0 },
    perl(`${eat(12)} kill "KILL", $$`, { limits: { memory: '48M' } }),
  ],
  'it kills itself with SIGTERM': [{ reason: 'signaled', signal: 'SIGTERM' }, run('kill -TERM $$')],
  'it aborts': [{ reason: 'signaled', signal: 'SIGABRT' }, run('kill -ABRT $$')],
  'it writes to no memory': [{ reason: 'signaled', signal: 'SIGSEGV' }, run('kill -SEGV $$')],
  'it divides by zero': [{ reason: 'signaled', signal: 'SIGFPE' }, run('kill -FPE $$')],
  'it writes to a pipe that nobody reads': [
    { reason: 'signaled', signal: 'SIGPIPE' },
    perl('pipe R, W; close R; syswrite W, "x"; sleep 5'),
  ],
  'it writes a file that is too large': [
    { reason: 'signaled', signal: 'SIGXFSZ' },
    perl('open F, ">", "/tmp/x"; syswrite F, "x" x 8192 for 1..9', { limits: { fileSize: 16_384 } }),
  ],
  'a child of it kills it': [{ reason: 'signaled', signal: 'SIGKILL', oomKills: 0 }, run('sh -c "kill -KILL $$"; sleep 100')],
  'the caller kills it': [{ reason: 'killed', signal: 'SIGKILL', oomKills: 0 }, started('sleep 100', (handle) => handle.kill('SIGKILL'))],
  'the caller sends SIGTERM': [{ reason: 'signaled', signal: 'SIGTERM' }, started('exec sleep 100', (handle) => handle.kill('SIGTERM'))],
  'the caller stops it': [{ reason: 'killed', signal: 'SIGTERM' }, started('exec sleep 100', (handle) => void handle.stop())],
  'the caller stops it, and it does not hear': [
    { reason: 'killed', signal: 'SIGKILL' },
    started('trap "" TERM; while :; do sleep 1; done', (handle) => setTimeout(() => void handle.stop(50), isSlow ? 3000 : 100)),
  ],
  'the timeout of the call': [{ reason: 'timeout', time: 'timeout', oomKills: 0 }, run('exec sleep 100', { timeout: 60 })],
  'the timeout of the call, and it returns 0 then': [
    { reason: 'timeout', time: 'timeout', exitCode: 0 },
    run('trap "exit 0" TERM; sleep 100 & wait', { timeout: isSlow ? 3000 : 300, killGrace: 60_000 }),
  ],
  'the wall clock': [
    { reason: 'timeout', time: 'wallTime', signal: 'SIGKILL', oomKills: 0 },
    run('sleep 100', { limits: { wallTime: 60 } }),
  ],
  'the CPU time of all': [
    { reason: 'timeout', time: 'cpuTime', oomKills: 0 },
    run('for i in 1 2; do while :; do :; done & done; wait', { limits: { cpuTime: 60 } }),
  ],
  'it does nothing': [{ reason: 'timeout', time: 'idle', oomKills: 0 }, run('sleep 100', { limits: { idle: 100 } })],
  'it sends too long a message': [
    { reason: 'ipc', oomKills: 0 },
    run('head -c 100000 /dev/zero >&3; exec sleep 9', { ipc: 'json', maxMessage: 10_000 }),
  ],
  'it writes too much': [{ reason: 'output', oomKills: 0 }, run('exec cat /dev/zero', { maxBuffer: 10_000 })],
  'its launcher is killed': [{ reason: 'launcher', signal: 'SIGKILL' }, killed('keeper')],
  'its init is killed': [{ reason: 'killed', signal: 'SIGKILL', oomKills: 0 }, killed('init')],
  'one of many: their init is killed': [{ reason: 'killed', signal: 'SIGKILL', oomKills: 0 }, insideKilled],
  'one of many: it returns 3': [{ reason: 'exited', exitCode: 3 }, inside('exit 3')],
  'one of many: its own wall clock': [{ reason: 'timeout', time: 'wallTime' }, inside('sleep 100', { limits: { wallTime: 60 } })],
  'one of many: it kills itself': [{ reason: 'signaled', signal: 'SIGKILL', oomKills: 0 }, inside('kill -KILL $$')],
  'one of many: its timeout': [{ reason: 'timeout', time: 'timeout' }, inside('exec sleep 100', { timeout: 60 })],
  ...(hasCgroups
    ? {
        'it takes too much memory': [{ reason: 'oom', signal: 'SIGKILL', oomKills: 'some' }, perl(eat(200), memory)],
        'it fills its files in memory': [{ reason: 'oom', oomKills: 'some' }, run('exec head -c 60M /dev/zero > /tmp/x', memory)],
        'a child takes too much memory, and it goes on': [
          { reason: 'exited', exitCode: 7, oomKills: 'some' },
          run(`${bomb}; exit 7`, { limits: { memory: '24M', oomGroup: false } }),
        ],
        'a child takes too much memory, and all end': [
          { reason: 'oom', signal: 'SIGKILL' },
          run(`${bomb}; sleep 100`, { limits: { memory: '24M', oomGroup: true } }),
        ],
        'one of many: too much memory of its own': [{ reason: 'oom', oomKills: 'some' }, inside(`exec ${bomb}`, memory)],
        'one of many: too much memory of all': [
          { reason: 'oom', oomKills: 'some' },
          inside(`exec ${bomb}`, {}, { limits: { memory: '40M' } }),
        ],
        'one of many: it kills itself while another is killed for memory': [
          { reason: 'signaled', signal: 'SIGKILL', oomKills: 0 },
          async () => {
            await using sandbox = await Sandbox.open();
            const other = sandbox.spawn('/bin/sh', ['-c', `exec ${bomb}`], { ...memory, reject: false });
            const result = await sandbox.spawn('/bin/sh', ['-c', 'kill -KILL $$'], { limits: { memory: '64M' }, reject: false });
            if ((await other).reason !== 'oom') throw new Error(`the other: ${(await other).reason}`);
            return result;
          },
        ],
      }
    : {}),
  ...(has('cpu')
    ? {
        'the wall clock, with next to no CPU': [
          { reason: 'timeout', time: 'wallTime' },
          run('while :; do :; done', { limits: { cpu: 0.05, wallTime: 100 } }),
        ],
      }
    : {}),
};

function checkEnd({ reason, exitCode, signal, limits }: Ended, expected: Expected): void {
  const { time, oomKills } = expected;
  expect({
    reason,
    ...('exitCode' in expected ? { exitCode } : {}),
    ...('signal' in expected ? { signal } : {}),
    time: limits.time,
    ...(oomKills === undefined ? {} : { oomKills: oomKills === 'some' ? limits.oomKills > 0 && 'some' : limits.oomKills }),
  }).toEqual({ ...expected, time });
}

test.each(Object.entries(ways))('%s', async (_, [expected, die]) => {
  for (let round = 0; round < rounds; round += width) {
    const ends = await Promise.all(Array.from({ length: Math.min(width, rounds - round) }, die));
    for (const end of ends) checkEnd(end, expected);
  }
});

test('a blocked event loop changes none of the reasons', async () => {
  const all = Object.entries(ways);
  const batch = 6;
  for (let first = 0; first < all.length; first += batch) {
    const some = all.slice(first, first + batch);
    const ends = some.map(([, [, die]]) => die());
    // Afterwards all events of that time are read in one go, from the start of each program to its exit.
    block(isSlow ? 2000 : 1000);
    for (const [index, end] of (await Promise.all(ends)).entries()) {
      const [name = '', [expected]] = some[index] ?? ['', [{ reason: '' }]];
      try {
        checkEnd(end, expected);
      } catch (error) {
        throw new Error(`${name}: ${(error as Error).message}`);
      }
    }
  }
}, 200_000);

afterAll(() => {
  process.stderr.write(`reasons: ${Object.keys(ways).length} ways to die, ${rounds} rounds each\n`);
});
