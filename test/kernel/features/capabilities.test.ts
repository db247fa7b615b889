import { type SpawnOptions, spawnIsolated } from 'nsjs';
import { callNumber, output, thrown } from '../../support';

describe('capabilities', () => {
  const sets = (options: SpawnOptions = {}) => output('grep', ['^Cap', '/proc/self/status'], options);
  test('every set is empty by default', async () => {
    expect((await sets()).match(/0{16}/g)).toHaveLength(5);
  });
  test('only the listed capabilities are kept, in every set', async () => {
    expect((await sets({ capabilities: ['CAP_NET_BIND_SERVICE', 'CAP_CHECKPOINT_RESTORE'] })).match(/0000010000000400/g)).toHaveLength(5);
  });
  test('no_new_privs and locked securebits are set', async () => {
    expect(await output('grep', ['NoNewPrivs', '/proc/self/status'])).toMatch(/1$/);
    expect(await output('perl', ['-e', `print syscall(${callNumber('prctl')}, 27, 0, 0, 0, 0)`])).toBe(`${0x2 | 0x1 | 0xc | 0x20 | 0xc0}`);
  });
  test('an unknown name is refused', () => {
    expect(thrown(() => spawnIsolated('true', [], { capabilities: ['CAP_NET'] } as unknown as SpawnOptions))).toMatchObject({
      path: 'capabilities[0]',
    });
  });
});
