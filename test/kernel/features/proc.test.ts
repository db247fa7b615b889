import { sh, trySh } from '../../support';

describe('proc', () => {
  test('/proc contains only processes by default', async () => {
    expect(await sh('cd /proc; for f in *; do case $f in [0-9]*|self|thread-self) ;; *) echo $f;; esac; done')).toBe('');
  });
  test('masked: the number of CPUs is visible, and secrets of the machine are not', async () => {
    expect(Number(await sh('grep -c ^processor /proc/cpuinfo', { proc: 'masked' }))).toBeGreaterThan(0);
    for (const name of ['kallsyms', 'kcore', 'iomem', 'cmdline', 'keys', 'interrupts', 'slabinfo', 'timer_list', 'config.gz']) {
      expect((await trySh(`head -c 1 /proc/${name} 2>/dev/null`, { proc: 'masked' })).stdout).toBe('');
    }
    expect(await sh('ls -A /proc/sys', { proc: 'masked' })).toBe('');
  });
  test('directories of other processes are not visible', async () => {
    expect((await sh('ls /proc')).split('\n')).not.toContain('1');
  });
  test('off: /proc is missing or empty', async () => {
    expect(await sh('ls -A /proc 2>/dev/null || echo none', { proc: 'off' })).toMatch(/^(none)?$/);
  });
});
