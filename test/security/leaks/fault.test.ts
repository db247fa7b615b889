import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Result, Sandbox, SandboxPool, type SpawnOptions, type SyscallCall, spawnIsolated } from 'nsjs';
import { useTestLauncher } from '../../../dist/launcher/image';
import { hasCgroups, isRoot } from '../../support';
import { keepersGone, mountCount, openDescriptors, ownChildren, ownLaunchers, sandboxCgroups } from '../../support/processes';

const image = readFileSync(join(__dirname, '../../../build/test/launcher-fault'));
const at = image.indexOf('NSJSFLT1') + 8;
const directory = mkdtempSync(join(tmpdir(), 'nsjs-fault-'));
afterAll(() => rmSync(directory, { recursive: true }));

// Prints how the program is confined. The output is the same in every run that starts the program.
const confinement = [
  'grep -E "^(Cap|NoNewPrivs|Seccomp|Sig(Blk|Ign))" /proc/self/status',
  'echo $(ls /) $(ls /dev) $(ls /proc/self/fd) $(pwd) $(umask) $(ulimit -n) $(uname -n)',
  'cut -d" " -f5,6 /proc/self/mountinfo | sort',
  'cat /proc/self/uid_map /proc/self/gid_map',
  'cut -d" " -f6,7 /proc/$$/stat',
].join('; ');

type Outcome = { readonly error: Error & Record<string, unknown> } | { readonly result: Result };

let count = 0;

type Run = (options: SpawnOptions) => Promise<Result>;

const script = ['-c', confinement] as const;
const alone: Run = async (options) => spawnIsolated('/bin/sh', script, { ...options, encoding: 'utf8', reject: false });

// The program has its own cgroup if one can be created.
const ownLimits: Pick<SpawnOptions, 'limits'> = hasCgroups ? { limits: { memory: '64M', wallTime: 60_000, cpuTime: 60_000 } } : {};

/** Runs the script as the second program of a long-lived sandbox. */
const inSandbox: Run = async (options) => {
  const sandbox = await Sandbox.open(options);
  try {
    await sandbox.spawn('true', [], { timeout: hang, reject: false });
    return await sandbox.spawn('/bin/sh', script, { timeout: hang, encoding: 'utf8', reject: false, ...ownLimits });
  } finally {
    await sandbox.close();
  }
};
const hang = 10_000;

/** Runs the script in a sandbox that a pool has prepared. */
const inPool: Run = async (options) => {
  const pool = await SandboxPool.open(options);
  try {
    const running = pool.spawn('/bin/sh', script, { timeout: hang, encoding: 'utf8', reject: false });
    // The sandbox that would replace it has the same fault.
    void pool.close();
    return await running;
  } finally {
    await pool.close();
  }
};

/** Runs with a launcher whose `nth` system call in process `role` fails. */
async function spawnWithFault(role: number, nth: number, run: Run, options: SpawnOptions): Promise<Outcome> {
  const broken = Buffer.from(image);
  broken.writeUInt32LE(role, at);
  broken.writeUInt32LE(nth, at + 4);
  const path = join(directory, `launcher-${count++}`);
  writeFileSync(path, broken, { mode: 0o755 });
  const fd = openSync(path, 'r');
  useTestLauncher(fd);
  try {
    return { result: await run(options) };
  } catch (error) {
    return { error: error as Error & Record<string, unknown> };
  } finally {
    useTestLauncher(undefined);
    closeSync(fd);
    unlinkSync(path);
  }
}

const roles = ['keeper', 'init', 'program'] as const;
// EBUSY: a file that could not be closed prevents sealing the root. EACCES, ENOENT, ESRCH: init has exited before its
// maps are written. EPROTO: a helper exited without a report.
const codes = ['EIO', 'EBUSY', 'EACCES', 'ENOENT', 'ESRCH', 'EPROTO'];
const limit = 2000;
// After this many runs in a row without an effect, the process has no more calls. A failure to close a descriptor has
// no effect, and that happens many times in a row.
const enough = 100;

const everything = [
  ['untrusted', alone, {}],
  ['in a long-lived sandbox', inSandbox, {}],
  ['in a sandbox that waited', inPool, { limits: { wallTime: 60_000, cpuTime: 60_000 } }],
  [
    'with binds',
    alone,
    {
      mounts: [
        { type: 'bind', source: '/tmp', target: '/host-tmp' },
        { type: 'mask', target: '/usr/share' },
      ],
    },
  ],
  [
    'with everything else',
    alone,
    {
      ...(isRoot ? { user: { ids: 'range' }, capabilities: ['CAP_CHOWN'] } : {}),
      mounts: [
        { type: 'overlay', target: '/overlay', lower: ['/etc/ssl', '/etc/alternatives'] },
        { type: 'tmpfs', target: '/sealed' },
        { type: 'readonly', target: '/sealed' },
      ],
      landlock: { execute: ['/'], write: ['/tmp', '/dev', '/proc'], bindTcp: [80], scopes: ['signal'] },
      memoryDenyWriteExecute: 'require',
      nice: getPriority() + 1,
      affinity: [0, 1],
      oomScoreAdj: 100,
      scheduler: { policy: 'batch' },
      verify: true,
      ...(hasCgroups ? { limits: { cpu: 1, cpus: [0, 1], wallTime: 60_000, cpuTime: 60_000, oomGroup: true } } : {}),
      onSyscall: { getpgrp: (call: SyscallCall) => call.allow() },
    },
  ],
] as [string, Run, SpawnOptions][];
// NSJS_FAULTS=some selects the two on which the others are based: all of them take four minutes.
const chosen = process.env.NSJS_FAULTS === 'some' ? everything.slice(0, 2) : everything;

describe.each(chosen)('%s', (_, run, options) => {
  let whole: string;
  beforeAll(async () => {
    whole = (await run(options)).stdout;
  });
  // Paths of the sandbox's own cgroup, ids and the session number differ between runs; nothing else does.
  const normal = (text: string) => text.replace(/19000\d{5}|[23]\d{9}/g, 'ID').replace(/^\d+ 0$/m, 'SESSION 0');

  test.each(roles)('if any call of %s fails, the program runs fully confined or not at all, and nothing remains', async (role) => {
    // Waits for the processes of the run that set `whole`, or of the previous test.
    await keepersGone();
    const before = { descriptors: openDescriptors(), mounts: mountCount(), processes: ownLaunchers().length };
    const seen = { errors: 0, silent: 0, whole: 0 };
    let clean = 0;
    let nth = 1;
    for (; clean < enough && nth < limit; nth++) {
      const outcome = await spawnWithFault(roles.indexOf(role), nth, run, options);
      if ('error' in outcome) {
        const { error } = outcome;
        const typed =
          error.name === 'SysError'
            ? (typeof error.origin === 'string' || String(error.syscall).startsWith('spawn ')) && codes.includes(String(error.code))
            : ['ERR_NSJS_LAUNCHER', 'ERR_NSJS_CLOSED'].includes(String(error.code));
        expect([nth, typed, error.message]).toEqual([nth, true, error.message]);
        error.name === 'SysError' ? seen.errors++ : seen.silent++;
        clean = 0;
        continue;
      }
      const { result } = outcome;
      expect([nth, result.reason]).not.toEqual([nth, 'timeout']);
      // A program that was killed has printed only the beginning.
      const expected = result.reason === 'exited' ? normal(whole) : normal(whole).slice(0, normal(result.stdout).length);
      if (result.stdout !== '') expect([nth, normal(result.stdout)]).toEqual([nth, expected]);
      clean = result.reason === 'exited' && result.exitCode === 0 ? clean + 1 : 0;
      seen.whole++;
    }
    expect(nth).toBeLessThan(limit);
    expect(seen.errors).toBeGreaterThan(5);
    expect(sandboxCgroups()).toEqual([]);
    await keepersGone();
    expect(ownChildren()).toEqual([]);
    expect({ mounts: mountCount(), processes: ownLaunchers().length }).toEqual({ mounts: before.mounts, processes: before.processes });
    expect(openDescriptors()).toBeLessThanOrEqual(before.descriptors);
    process.stderr.write(
      `${role}: ${nth - 1} calls; ${seen.errors} typed errors, ${seen.silent} without a record, ${seen.whole} ran whole\n`,
    );
  });
});
