import { readFileSync } from 'node:fs';
import { type SandboxOptions, seccompFilter } from 'nsjs';
import { callsOf, type GroupName, groups } from '../../../dist/seccomp/groups';
import { archTables } from '../../../dist/seccomp/tables';
import { thrown } from '../../support/host';

const profile = (name: string) =>
  JSON.parse(readFileSync(`${__dirname}/../../../test/data/${name}-default-seccomp.json`, 'utf8')) as object;
const filter = (seccomp: SandboxOptions['seccomp'], options: SandboxOptions = {}) => {
  const made = seccompFilter({ ...options, ...(seccomp === undefined ? {} : { seccomp }) });
  if (!made) throw new Error('no filter');
  return made;
};

describe('groups', () => {
  test('every system call of the tables is in exactly one group', () => {
    const all = Object.keys(groups).flatMap((name) => callsOf(name as GroupName));
    const known = new Set(Object.values(archTables).flatMap(({ numbers }) => Object.keys(numbers)));
    expect(all).toHaveLength(new Set(all).size);
    expect(new Set(all)).toEqual(known);
  });

  test('can be denied and allowed', () => {
    const { explain } = filter({ deny: ['@network'], allow: ['@keyring'] });
    expect([explain('connect'), explain('keyctl')]).toMatchObject([
      { action: 'errno', errno: 1, why: 'seccomp.deny' },
      { action: 'allow', why: 'seccomp.allow' },
    ]);
  });
});

describe('rules', () => {
  test('a denial applies whether the kernel reads 32 or 64 bits of the argument', () => {
    const { explain } = filter({ deny: [{ names: 'ioctl', when: [{ index: 1, op: 'eq', value: 0x5401 }], errno: 'ENOTTY' }] });
    for (const request of [0x5401, 0x5401n | (1n << 32n), 0xffffffff00005401n])
      expect(explain('ioctl', [0, request])).toMatchObject({ action: 'errno', errno: 25 });
    expect(explain('ioctl', [0, 0x5402])).toMatchObject({ action: 'allow' });
  });

  test('a permission applies only if both readings match', () => {
    const { explain } = filter({ allow: [{ names: 'keyctl', when: [{ index: 0, op: 'ne', value: 5 }] }] });
    expect(explain('keyctl', [6]).action).toBe('allow');
    for (const operation of [5, 5n | (1n << 32n)]) expect(explain('keyctl', [operation]).action).toBe('errno');
  });

  test("the list `only` keeps the profile's rules on arguments", () => {
    const { explain } = filter({ only: ['read', 'chmod', 'keyctl'] });
    expect(explain('read').action).toBe('allow');
    expect(explain('chmod', [0, 0o4755])).toMatchObject({ action: 'errno', errno: 1 });
    expect(explain('getpid')).toMatchObject({ action: 'errno', errno: 38 });
    expect(explain('keyctl').action).toBe('errno');
  });

  test.each<[string, object, string]>([
    ['a name that no kernel has', { deny: ['mout'] }, "seccomp.deny[0]: unknown system call 'mout'"],
    ['a group that does not exist', { deny: ['@files'] }, "seccomp.deny[0]: unknown system call group '@files'"],
    ['what starts the program', { deny: ['execve'] }, 'seccomp.deny: execve is needed'],
    [
      'an index',
      { deny: [{ names: 'read', when: [{ index: 6, op: 'eq', value: 1 }] }] },
      'seccomp.deny[0].when[0].index: expected a whole',
    ],
    [
      'a comparison',
      { deny: [{ names: 'read', when: [{ index: 0, op: '==', value: 1 }] }] },
      'seccomp.deny[0].when[0].op: expected one of',
    ],
    [
      'a value',
      { deny: [{ names: 'read', when: [{ index: 0, op: 'eq', value: -1 }] }] },
      'seccomp.deny[0].when[0].value: expected a whole',
    ],
    ['an errno', { deny: [{ names: 'read', errno: 'EFOO' }] }, 'seccomp.deny[0].errno: expected the name of an errno'],
    ['two profiles', { docker: {}, oci: {} }, 'seccomp.oci: cannot be combined with seccomp.docker'],
    [
      'a profile with a misspelt denial',
      { oci: { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mout'], action: 'SCMP_ACT_ERRNO' }] } },
      "seccomp.oci.syscalls[0].names[0]: unknown system call 'mout'",
    ],
    [
      'a profile for other machines',
      { oci: { defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_S390X'] } },
      'seccomp.oci.architectures: does not include',
    ],
    ['a listener', { oci: { defaultAction: 'SCMP_ACT_NOTIFY' } }, 'seccomp.oci.defaultAction: SCMP_ACT_NOTIFY is not supported'],
    ['a profile that lets nothing start', { oci: { defaultAction: 'SCMP_ACT_ERRNO' } }, 'seccomp: the profile does not allow execve'],
  ])('%s is an error', (_, seccomp, message) => {
    const error = thrown(() => seccompFilter({ seccomp: seccomp as NonNullable<SandboxOptions['seccomp']> }));
    expect(error).toMatchObject({ name: expect.stringMatching(/^Option(Range)?Error$/) });
    expect(error.message).toContain(message);
  });
});

describe('profiles of other projects', () => {
  test.each(['moby', 'podman'])('%s: the filter decides as its JSON specifies, also by arguments', (name) => {
    const { explain, unknown } = filter({ docker: profile(name) });
    expect(unknown).toEqual([]);
    const answers = ['read', 'mount', 'keyctl', 'bpf', 'unshare', 'reboot'].map((call) => explain(call).action);
    expect(answers).toEqual(
      name === 'moby' ? ['allow', 'errno', 'errno', 'errno', 'errno', 'errno'] : ['allow', 'allow', 'allow', 'errno', 'allow', 'allow'],
    );
    expect(explain('personality', [0x40000]).action).toBe('errno');
    expect(explain('socket', [name === 'moby' ? 38 : 40]).action).toBe('errno');
    // The kernel reads only 32 bits: higher bits must not turn a denied number into an allowed one.
    expect(explain('socket', [(1n << 32n) | (name === 'moby' ? 38n : 40n)]).action).toBe('errno');
  });

  test('capabilities decide which rules apply', () => {
    const capabilities = ['CAP_SYS_ADMIN'] as const;
    expect(filter({ docker: profile('moby') }).explain('mount').action).toBe('errno');
    expect(filter({ docker: profile('moby') }, { capabilities, nestedUserNamespaces: true }).explain('mount').action).toBe('allow');
  });

  test('the strictest of several matching rules decides', () => {
    const rule = (action: string, extra = {}) => ({ names: ['getpid'], action, ...extra });
    for (const syscalls of [
      [rule('SCMP_ACT_ALLOW'), rule('SCMP_ACT_ERRNO', { errnoRet: 7 })],
      [rule('SCMP_ACT_ERRNO', { errnoRet: 7 }), rule('SCMP_ACT_ALLOW')],
    ])
      expect(filter({ oci: { defaultAction: 'SCMP_ACT_ALLOW', syscalls } }).explain('getpid')).toMatchObject({ action: 'errno', errno: 7 });
  });

  test('set-id modes stay denied with a writable bind mount', () => {
    const { explain } = filter(
      { docker: profile('moby') },
      { mounts: [{ type: 'bind', source: '/tmp', target: '/work', readonly: false }] },
    );
    expect(explain('chmod', [0, 0o4755])).toMatchObject({ action: 'errno', errno: 1 });
    expect(explain('fchmodat', [0, 0, 0o755]).action).toBe('allow');
    expect(explain('openat2')).toMatchObject({ action: 'errno', errno: 38 });
  });
});

test('the text of a filter contains the names of calls and actions', () => {
  const text = `${filter('default')}`;
  expect(text).toMatch(/^ {3}0 {2}load arch\n/);
  expect(text).toMatch(/if nr >= \d+ \(\w+\) goto \d+ else \d+/);
  expect(text).toContain('return errno 38');
  expect(text.split('\n')).toHaveLength(filter('default').instructions);
});
