// Profiles of the OCI runtime spec, Docker and Podman.
import { type OciProfile, type ProfileContext, readProfile, resolveProfile } from '../../../dist/seccomp/oci';
import { decide } from '../../../dist/seccomp/policy';
import type { Arch } from '../../../dist/seccomp/tables';
import { thrown } from '../../support/host';

const read = (profile: object, arch: Arch = 'x64') => readProfile({ defaultAction: 'SCMP_ACT_ALLOW', ...profile }, 'oci', arch);
const context: ProfileContext = { arch: 'x64', capabilities: [], kernel: [5, 10] };
const resolve = (profile: OciProfile, on: Partial<ProfileContext> = {}) => resolveProfile(profile, { ...context, ...on }, 'a profile');
/** Returns whether a rule with the given properties denies getpid. */
const denying = (rule: object, on: Partial<ProfileContext> = {}) =>
  decide(resolve(read({ syscalls: [{ names: ['getpid'], action: 'SCMP_ACT_ERRNO', ...rule }] }), on), 'getpid', []).kind === 'errno';

describe('actions', () => {
  test.each([
    ['SCMP_ACT_KILL', { kind: 'killThread' }],
    ['SCMP_ACT_KILL_THREAD', { kind: 'killThread' }],
    ['SCMP_ACT_KILL_PROCESS', { kind: 'kill' }],
    ['SCMP_ACT_TRAP', { kind: 'trap' }],
    ['SCMP_ACT_ERRNO', { kind: 'errno', errno: 1 }],
    ['SCMP_ACT_TRACE', { kind: 'trace' }],
    ['SCMP_ACT_LOG', { kind: 'log' }],
    ['SCMP_ACT_ALLOW', { kind: 'allow' }],
  ])('%s', (defaultAction, expected) => {
    const profile = read({ defaultAction, syscalls: [{ names: ['read'], action: defaultAction }] });
    expect([profile.otherwise, profile.rules[0]?.action]).toEqual([expected, expected]);
  });

  test('an errno may be given for the default and for each rule', () => {
    const profile = read({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 38,
      syscalls: [{ names: ['read'], action: 'SCMP_ACT_ERRNO', errnoRet: 0 }],
    });
    expect([profile.otherwise, profile.rules[0]?.action]).toEqual([
      { kind: 'errno', errno: 38 },
      { kind: 'errno', errno: 0 },
    ]);
  });
});

describe('names', () => {
  test('in the old form, a rule has one name', () => {
    expect(read({ syscalls: [{ name: 'read', action: 'SCMP_ACT_ERRNO' }] }).rules[0]?.names).toEqual(['read']);
  });

  test('a rule may have no names', () => {
    expect(
      read({ syscalls: [{ action: 'SCMP_ACT_ERRNO' }, { names: null, action: 'SCMP_ACT_ERRNO' }] }).rules.map(({ names }) => names),
    ).toEqual([[], []]);
  });

  test('unknown names are collected in a rule that allows', () => {
    expect(read({ syscalls: [{ names: ['read', 'mout', 'raed'], action: 'SCMP_ACT_ALLOW' }] }).unknown).toEqual(['mout', 'raed']);
  });

  test('names of other architectures are known', () => {
    expect(read({ syscalls: [{ names: ['socketcall'], action: 'SCMP_ACT_ERRNO' }] }).unknown).toEqual([]);
  });
});

describe('conditions', () => {
  const decideFor = (args: readonly object[], value: bigint) =>
    decide(resolve(read({ syscalls: [{ names: ['read'], action: 'SCMP_ACT_ERRNO', args }] })), 'read', [0n, value]).kind;

  test.each<[string, bigint, bigint]>([
    ['SCMP_CMP_NE', 6n, 5n],
    ['SCMP_CMP_LT', 4n, 5n],
    ['SCMP_CMP_LE', 5n, 6n],
    ['SCMP_CMP_EQ', 5n, 6n],
    ['SCMP_CMP_GE', 5n, 4n],
    ['SCMP_CMP_GT', 6n, 5n],
  ])('%s', (op, match, other) => {
    const args = [{ index: 1, op, value: 5 }];
    expect([decideFor(args, match), decideFor(args, other)]).toEqual(['errno', 'allow']);
  });

  test('SCMP_CMP_MASKED_EQ: the mask is the first value', () => {
    const args = [{ index: 1, op: 'SCMP_CMP_MASKED_EQ', value: 0xf0, valueTwo: 0x30 }];
    expect([0x30n, 0x3fn, 0x40n].map((value) => decideFor(args, value))).toEqual(['errno', 'errno', 'allow']);
  });

  test('an omitted value is zero', () => {
    expect([0n, 1n].map((value) => decideFor([{ index: 1, op: 'SCMP_CMP_EQ' }], value))).toEqual(['errno', 'allow']);
    const masked = [{ index: 1, op: 'SCMP_CMP_MASKED_EQ', value: 0x80 }];
    expect([0n, 0x80n].map((value) => decideFor(masked, value))).toEqual(['errno', 'allow']);
  });

  test('all conditions must be met', () => {
    const args = [
      { index: 1, op: 'SCMP_CMP_GE', value: 5 },
      { index: 1, op: 'SCMP_CMP_LE', value: 7 },
    ];
    expect([4n, 5n, 7n, 8n].map((value) => decideFor(args, value))).toEqual(['allow', 'errno', 'errno', 'allow']);
  });
});

describe('rules for some machines only', () => {
  const admin = { capabilities: ['CAP_SYS_ADMIN', 'CAP_BPF'] };

  test.each<[string, object, Partial<ProfileContext>, boolean]>([
    ['included capabilities: all are present', { includes: { caps: ['CAP_SYS_ADMIN', 'CAP_BPF'] } }, admin, true],
    ['included capabilities: one is missing', { includes: { caps: ['CAP_SYS_ADMIN', 'CAP_CHOWN'] } }, admin, false],
    ['excluded capabilities: one is present', { excludes: { caps: ['CAP_SYS_ADMIN', 'CAP_CHOWN'] } }, admin, false],
    ['excluded capabilities: none is present', { excludes: { caps: ['CAP_CHOWN'] } }, admin, true],
    ['included architectures: one matches', { includes: { arches: ['arm64', 'amd64'] } }, {}, true],
    ['included architectures: none matches', { includes: { arches: ['arm64'] } }, {}, false],
    ['included architectures of an arm64', { includes: { arches: ['arm64'] } }, { arch: 'arm64' }, true],
    ['excluded architectures: one matches', { excludes: { arches: ['amd64'] } }, {}, false],
    ['excluded architectures: none matches', { excludes: { arches: ['s390'] } }, {}, true],
    ['a kernel of that version', { includes: { minKernel: '5.10' } }, {}, true],
    ['a newer minor version', { includes: { minKernel: '5.9' } }, {}, true],
    ['an older minor version', { includes: { minKernel: '5.11' } }, {}, false],
    ['a newer major version', { includes: { minKernel: '4.99' } }, {}, true],
    ['an older major version', { includes: { minKernel: '6.0' } }, {}, false],
    ['a version with more numbers', { includes: { minKernel: '5.10.3-1' } }, {}, true],
    ['an excluded version that is reached', { excludes: { minKernel: '4.8' } }, {}, false],
    ['an excluded version that is not reached', { excludes: { minKernel: '6.1' } }, {}, true],
    ['empty conditions', { includes: {}, excludes: {} }, {}, true],
    ['conditions with null instead of a list', { includes: { caps: null }, excludes: { arches: null } }, {}, true],
  ])('%s', (_, rule, on, applies) => {
    expect(denying(rule, on)).toBe(applies);
  });
});

test('the strictest of several rules comes first, and the reason is kept', () => {
  const actions = [
    'SCMP_ACT_ALLOW',
    'SCMP_ACT_LOG',
    'SCMP_ACT_TRAP',
    'SCMP_ACT_KILL_PROCESS',
    'SCMP_ACT_ERRNO',
    'SCMP_ACT_KILL_THREAD',
    'SCMP_ACT_TRACE',
  ];
  const { rules } = resolve(read({ syscalls: actions.map((action) => ({ names: ['read'], action })) }));
  expect(rules.map(({ action }) => action.kind)).toEqual(['kill', 'killThread', 'trap', 'errno', 'trace', 'log', 'allow']);
  expect(new Set(rules.map(({ why }) => why))).toEqual(new Set(['a profile']));
});

describe('flags', () => {
  test.each([
    [undefined, 0],
    [[], 0],
    [['SECCOMP_FILTER_FLAG_LOG'], 2],
    [['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'], 6],
    [['SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'], 0],
  ])('%j', (flags, expected) => {
    expect(read({ flags }).flags).toBe(expected);
  });
});

describe('architectures', () => {
  test.each<[string, object, Arch]>([
    ['none are named', {}, 'x64'],
    ['the list names it', { architectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X86_64'] }, 'x64'],
    ['the map names it', { archMap: [{ architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] }] }, 'arm64'],
  ])('a profile is for this machine if %s', (_, profile, arch) => {
    expect(read(profile, arch).otherwise).toEqual({ kind: 'allow' });
  });

  test.each<[string, object]>([
    ['list', { architectures: ['SCMP_ARCH_AARCH64'] }],
    ['map', { archMap: [{ architecture: 'SCMP_ARCH_AARCH64' }] }],
  ])('a %s without this machine is an error', (_, profile) => {
    expect(thrown(() => read(profile))).toMatchObject({ path: 'oci.architectures', message: expect.stringContaining('SCMP_ARCH_X86_64') });
  });
});

describe('errors', () => {
  const rule = (properties: object) => ({ syscalls: [{ names: ['read'], action: 'SCMP_ACT_ERRNO', ...properties }] });

  test.each<[string, object, string, string]>([
    ['a listener', { listenerPath: '/run/agent.sock' }, 'oci.listenerPath', 'use the option onSyscall'],
    ['a default action that is missing', { defaultAction: undefined }, 'oci.defaultAction', 'SCMP_ACT_ALLOW'],
    ['an unknown action', rule({ action: 'SCMP_ACT_DENY' }), 'oci.syscalls[0].action', "received 'SCMP_ACT_DENY'"],
    ['an action for a listener', rule({ action: 'SCMP_ACT_NOTIFY' }), 'oci.syscalls[0].action', 'use the option onSyscall'],
    ['a misspelt name that is denied', rule({ names: ['read', 'mout'] }), 'oci.syscalls[0].names[1]', "unknown system call 'mout'"],
    [
      'a misspelt name that is logged',
      rule({ names: ['mout'], action: 'SCMP_ACT_LOG' }),
      'oci.syscalls[0].names[0]',
      "unknown system call 'mout'",
    ],
    ['a name that is no string', rule({ names: [3] }), 'oci.syscalls[0].names[0]', 'expected a string, received number'],
    ['an index', rule({ args: [{ index: 6, op: 'SCMP_CMP_EQ' }] }), 'oci.syscalls[0].args[0].index', 'from 0 to 5'],
    ['a comparison', rule({ args: [{ index: 0, op: 'EQ' }] }), 'oci.syscalls[0].args[0].op', "received 'EQ'"],
    ['a value', rule({ args: [{ index: 0, op: 'SCMP_CMP_EQ', value: -1 }] }), 'oci.syscalls[0].args[0].value', 'from 0 to'],
    [
      'a second value',
      rule({ args: [{ index: 0, op: 'SCMP_CMP_MASKED_EQ', valueTwo: '1' }] }),
      'oci.syscalls[0].args[0].valueTwo',
      'whole number',
    ],
    ['a version', rule({ includes: { minKernel: 'five' } }), 'oci.syscalls[0].includes.minKernel', "expected a version like '4.8'"],
    ['a capability that is no string', rule({ excludes: { caps: [21] } }), 'oci.syscalls[0].excludes.caps', 'expected a string'],
    ['an unknown flag', { flags: ['SECCOMP_FILTER_FLAG_NEW'] }, 'oci.flags', "received 'SECCOMP_FILTER_FLAG_NEW'"],
    ['system calls that are no list', { syscalls: {} }, 'oci.syscalls', 'expected an array, received object'],
  ])('%s', (_, profile, path, message) => {
    const error = thrown(() => read(profile));
    expect(error).toMatchObject({ path, name: expect.stringMatching(/^Option(Range)?Error$/) });
    expect(error.message).toContain(message);
  });

  test('an errno out of range is an error', () => {
    expect(thrown(() => read(rule({ errnoRet: 4096 }))).message).toContain('expected a whole number from 0 to 4095, received 4096');
  });
});

test('a rule has either names or a name, and empty fields count as absent', () => {
  const profile = (rule: object) => ({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ action: 'SCMP_ACT_ERRNO', ...rule }] });
  expect(thrown(() => read(profile({ name: 'mount', names: ['umount2'] })))).toMatchObject({ path: 'oci.syscalls[0].names' });
  expect(read(profile({ name: '', names: ['umount2'], includes: null })).rules[0]?.names).toEqual(['umount2']);
  expect(thrown(() => read(profile({ names: ['mount'], errnoRet: 5000 })))).toMatchObject({ path: 'oci.syscalls[0].errnoRet' });
});
