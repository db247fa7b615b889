import { sh, trySh } from '../../support';

describe('nested user namespaces', () => {
  test('are refused by the kernel’s limit even without seccomp', async () => {
    expect((await trySh('unshare -U true', { seccomp: 'off' })).stderr).toContain('No space left on device');
  });
  test('are refused by seccomp first', async () => {
    expect((await trySh('unshare -U true')).stderr).toContain('Operation not permitted');
  });
  test('can be allowed', async () => {
    expect(await sh('unshare -U echo nested', { nestedUserNamespaces: true })).toBe('nested');
  });
});
