import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { Sandbox, type SandboxOptions, spawnIsolated } from 'nsjs';
import { parseSandboxOptions } from '../../../dist/options/spec';
import { callNumber, isRoot, output, rejection, sh, testIf, thrown, trySh } from '../../support';

const sets = async (options: SandboxOptions, path = '/proc/self/status') => {
  const text = await output('cat', [path], options);
  return Object.fromEntries(
    [...text.matchAll(/^(Cap\w+):\s*([0-9a-f]+)$/gm)].map(([, name, bits]) => [name, Number.parseInt(bits ?? '', 16)]),
  );
};
const own = getPriority();
const bit = (number: number) => 2 ** number;

describe('capabilities', () => {
  test('by default every set is empty', async () => {
    expect(await sets({})).toEqual({ CapInh: 0, CapPrm: 0, CapEff: 0, CapBnd: 0, CapAmb: 0 });
  });

  test('a list of capabilities applies to every set', async () => {
    const all = bit(7) + bit(38);
    expect(await sets({ capabilities: ['CAP_SETUID', 'CAP_PERFMON'] })).toEqual({
      CapInh: all,
      CapPrm: all,
      CapEff: all,
      CapBnd: all,
      CapAmb: all,
    });
  });

  test('each set can have its own list', async () => {
    const capabilities = {
      permitted: ['CAP_KILL', 'CAP_CHOWN'],
      inheritable: ['CAP_KILL'],
      ambient: ['CAP_KILL'],
      bounding: ['CAP_KILL', 'CAP_MKNOD'],
    } as const;
    // After execve(2), a program without file capabilities has only the ambient ones as permitted and effective.
    expect(await sets({ capabilities })).toEqual({
      CapInh: bit(5),
      CapPrm: bit(5),
      CapEff: bit(5),
      CapBnd: bit(5) + bit(27),
      CapAmb: bit(5),
    });
  });

  test.each<[string, object, string]>([
    ['effective', { effective: ['CAP_KILL'] }, 'capabilities.effective: CAP_KILL is not in the permitted set'],
    ['ambient', { permitted: ['CAP_KILL'], ambient: ['CAP_KILL'] }, 'capabilities.ambient: CAP_KILL is not in the inheritable set'],
    ['a name', { permitted: ['KILL'] }, 'capabilities.permitted[0]: expected the name of a capability'],
  ])('invalid capabilities are refused: %s', (_, capabilities, message) => {
    expect(thrown(() => parseSandboxOptions({ capabilities } as SandboxOptions)).message).toContain(message);
  });

  test('securebits can be set by name', async () => {
    const script = `print syscall(${callNumber('prctl')}, 27, 0, 0, 0, 0)`;
    expect(await output('perl', ['-e', script])).toBe(`${0b11101111}`);
    expect(await output('perl', ['-e', script], { securebits: ['NOROOT', 'NOROOT_LOCKED'] })).toBe('3');
  });
});

describe('scheduling', () => {
  test('the nice value, the CPU affinity and the OOM score are applied', async () => {
    expect(await sh('nice; nproc; cat /proc/self/oom_score_adj', { nice: own + 7, affinity: [0], oomScoreAdj: 500 })).toBe(
      `${own + 7}\n1\n500`,
    );
  });

  test('the scheduling policy and the I/O priority are applied', async () => {
    expect(
      await sh('chrt -p $$; ionice', {
        scheduler: { policy: 'batch' },
        ioPriority: { class: 'idle' },
        proc: 'full',
        seccomp: { allow: ['ioprio_get'] },
      }),
    ).toMatch(/SCHED_BATCH[\s\S]*idle/);
  });

  testIf(!isRoot, 'an unprivileged user', 'an option that needs a missing privilege causes an error of the kernel', async () => {
    expect(await rejection(spawnIsolated('true', [], { nice: -5 }))).toMatchObject({
      code: 'EACCES',
      syscall: 'setpriority',
      origin: 'nice',
    });
    expect(await rejection(spawnIsolated('true', [], { scheduler: { policy: 'fifo', priority: 1 } }))).toMatchObject({
      code: 'EPERM',
      origin: 'scheduler',
    });
  });

  test.each<[object, string]>([
    [{ nice: 20 }, 'nice: expected a whole number'],
    [{ scheduler: { policy: 'fifo' } }, 'scheduler.priority: is required'],
    [{ scheduler: { policy: 'other', runtime: 5000 } }, 'scheduler.runtime: is required with'],
    [{ ioPriority: { class: 'idle', level: 3 } }, 'ioPriority.level: has no effect'],
    [{ affinity: [] }, 'affinity: expected at least one'],
    [{ oomScoreAdj: 1001 }, 'oomScoreAdj: expected'],
  ])('%j is refused', (options, message) => {
    expect(thrown(() => parseSandboxOptions(options as SandboxOptions)).message).toContain(message);
  });
});

describe('hardening', () => {
  test('memory cannot be both writable and executable', async () => {
    const script = 'import mmap\ntry:\n mmap.mmap(-1, 4096, prot=7)\n print("mapped")\nexcept PermissionError: print("refused")';
    expect(await output('/usr/bin/python3', ['-c', script])).toBe('mapped');
    expect(await output('/usr/bin/python3', ['-c', script], { memoryDenyWriteExecute: 'require' })).toBe('refused');
  });

  test('speculative store bypass is disabled permanently', async () => {
    const { stdout, report } = await trySh('grep -i store_bypass /proc/self/status', { speculation: { storeBypass: 'prefer' } });
    if (report.dropped.some(({ control }) => control === 'speculation.storeBypass')) expect(stdout).not.toMatch(/force mitigated/);
    else expect(stdout).toMatch(/force mitigated/);
  });

  test('an unsupported feature causes an error if required, and is reported if preferred', async () => {
    const error = await trySh('true', { coreScheduling: 'require' }).then(
      () => undefined,
      (reason: Error) => reason,
    );
    const { report } = await trySh('true', { coreScheduling: 'prefer' });
    const dropped = report.dropped.filter(({ control }) => control === 'coreScheduling');
    if (error) {
      expect(error).toMatchObject({ syscall: 'prctl', origin: 'coreScheduling' });
      expect(dropped).toHaveLength(1);
      expect(dropped[0]?.reason).toMatch(/prctl failed: E/);
    } else expect(dropped).toEqual([]);
  });

  testIf(process.arch === 'x64', 'x64', 'access to the time stamp counter can be denied', async () => {
    const { signal } = await trySh('exec date', { tscDeny: 'require' });
    expect([null, 'SIGSEGV']).toContain(signal);
    expect(
      await output('perl', ['-e', 'my $m = pack("i", 0); syscall(157, 25, $m); print unpack("i", $m)'], { tscDeny: 'require' }).catch(
        () => '2',
      ),
    ).toBe('2');
  });

  test('the personality is applied', async () => {
    expect(await sh('uname -m', { personality: 'linux32' })).toMatch(/i686|armv/);
    const place = () =>
      output('/usr/bin/python3', ['-c', 'import ctypes; print(ctypes.addressof(ctypes.c_int()))'], {
        personality: 'no-randomize',
        env: { PYTHONHASHSEED: '0' },
      });
    expect(await place()).toBe(await place());
  });

  test('labels of unavailable security modules are refused', async () => {
    if (readFileSync('/proc/mounts', 'utf8').includes('selinuxfs')) return;
    expect(await rejection(spawnIsolated('true', [], { selinuxLabel: 'system_u:system_r:container_t:s0' }))).toMatchObject({
      code: 'ERR_NSJS_UNSUPPORTED',
    });
    expect(thrown(() => parseSandboxOptions({ apparmorProfile: 'a b' })).message).toMatch(/^apparmorProfile: /);
  });

  test('the options apply to later programs of a sandbox as well', async () => {
    const sandbox = await Sandbox.open({ nice: own + 3, memoryDenyWriteExecute: 'prefer' });
    expect((await sandbox.spawn('nice')).stdout).toBe(`${own + 3}`);
    await sandbox.close();
  });
});
