import { spawnIsolated } from 'nsjs';
import { output, sh, thrown } from '../../support';

describe('rlimits', () => {
  test('cpu applies even if limits.cpuTime is set', async () => {
    expect(await sh('ulimit -t', { rlimits: { cpu: 3 }, limits: { cpuTime: 60_000 } })).toBe('3');
  });

  test('limits are set as specified', async () => {
    expect(await sh('ulimit -Sn; ulimit -Hn; ulimit -f', { rlimits: { nofile: { soft: 32, hard: 64 }, fsize: 1024 } })).toBe('32\n64\n2');
  });
  test('the core limit keeps core dump handlers away and cannot be changed', async () => {
    const line = await output('grep', ['core', '/proc/self/limits']);
    expect(line).toMatch(/\s1\s+1\s/);
    // Lowering the limit succeeds without effect: with a pipe in core_pattern, only the value 1 keeps the host's
    // handler away.
    expect(await sh('ulimit -c 0 && grep -c "core file size *1 *1" /proc/self/limits')).toBe('1');
    const python = `import resource, ctypes
resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); print(resource.getrlimit(resource.RLIMIT_CORE))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); print(resource.getrlimit(resource.RLIMIT_FSIZE))
libc = ctypes.CDLL(None, use_errno=True); new = (ctypes.c_ulong * 2)(0, 0); old = (ctypes.c_ulong * 2)()
print(libc.prlimit64(0, 4, new, old), ctypes.get_errno(), libc.prlimit64(1, 4, new, None))`;
    expect(await output('python3', ['-c', python])).toBe('(1, 1)\n(1048576, 1048576)\n-1 1 -1');
  });
  test('a soft limit above the hard limit is refused', () => {
    expect(thrown(() => spawnIsolated('true', [], { rlimits: { nofile: { soft: 5, hard: 4 } } }))).toMatchObject({
      path: 'rlimits.nofile.soft',
    });
  });
});
