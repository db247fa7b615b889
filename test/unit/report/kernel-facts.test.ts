// Facts that the kernel reports: how they are parsed, and when they are weaker than the options require.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SandboxOptions } from 'nsjs';
import { FactTexts } from '../../../dist/launcher/fact-texts';
import { parseSandboxOptions } from '../../../dist/options/spec';
import {
  cgroupFacts,
  factsError,
  type KernelFacts,
  kernelFacts,
  type MountFact,
  parseMap,
  parseMountinfo,
  parseStatus,
} from '../../../dist/report/kernel-facts';
import { temporaryDirectory } from '../../support/host';

const none = { bounding: [], permitted: [], effective: [], inheritable: [], ambient: [] };
const MiB = 2 ** 20;

describe('files of /proc', () => {
  const status = [
    'Name:\tcat',
    'Uid:\t1000\t1001\t1002\t1003',
    'Gid:\t7\t7\t7\t7',
    'Groups:\t4 24 27 ',
    'CapInh:\t0000000000000000',
    'CapPrm:\t0000000000200001',
    'CapEff:\t0000000000000020',
    'CapBnd:\t0000010000000000',
    'CapAmb:\t0000000000000000',
    'NoNewPrivs:\t1',
    'Seccomp:\t2',
    'Seccomp_filters:\t3',
    '',
  ].join('\n');

  test('status is parsed', () => {
    expect(parseStatus(status)).toEqual({
      capabilities: {
        ...none,
        permitted: ['CAP_CHOWN', 'CAP_SYS_ADMIN'],
        effective: ['CAP_KILL'],
        bounding: ['CAP_CHECKPOINT_RESTORE'],
      },
      noNewPrivileges: true,
      seccomp: { mode: 2, filters: 3 },
      uids: [1000, 1001, 1002, 1003],
      gids: [7, 7, 7, 7],
      groups: [4, 24, 27],
    });
  });

  test('status without some of the fields is parsed', () => {
    expect(parseStatus('Groups:\t\nNoNewPrivs:\t0\nSeccomp:\t0\n')).toEqual({
      capabilities: none,
      noNewPrivileges: false,
      seccomp: { mode: 0, filters: 0 },
      uids: [],
      gids: [],
      groups: [],
    });
  });

  test('id maps are parsed', () => {
    expect(parseMap('         0     100000      65536\n     65536  2000000000          1\n')).toEqual([
      { inside: 0, outside: 100_000, count: 65_536 },
      { inside: 65_536, outside: 2_000_000_000, count: 1 },
    ]);
    expect(parseMap('')).toEqual([]);
    expect(parseMap('0 1\n0 1 2 3\n-1 0 1\n5 6 7')).toEqual([{ inside: 5, outside: 6, count: 7 }]);
  });

  test('mountinfo is parsed', () => {
    expect(parseMountinfo('36 35 98:0 /a\\040b /mnt\\0112 ro,nosuid master:1 - ext3 /dev/root rw\nno mount\n')).toEqual([
      { target: '/mnt\t2', root: '/a b', type: 'ext3', flags: ['ro', 'nosuid'] },
    ]);
  });

  test('facts are present only about files that were sent', () => {
    const texts = new FactTexts();
    expect(kernelFacts(texts)).toEqual({});
    texts.add('uid_map', '0 1000 1\n');
    expect(kernelFacts(texts)).toEqual({ uidMap: [{ inside: 0, outside: 1000, count: 1 }] });
    texts.add('gid_map', '0 100 1\n');
    texts.add('mountinfo', '1 0 0:1 / / ro - tmpfs none rw\n');
    texts.add('status', status);
    expect(kernelFacts(texts)).toEqual({
      ...parseStatus(status),
      uidMap: [{ inside: 0, outside: 1000, count: 1 }],
      gidMap: [{ inside: 0, outside: 100, count: 1 }],
      mounts: [{ target: '/', root: '/', type: 'tmpfs', flags: ['ro'] }],
    });
  });
});

describe('limits of a cgroup', () => {
  let base: ReturnType<typeof temporaryDirectory>;
  beforeAll(() => {
    base = temporaryDirectory();
    const files = {
      'one/memory.limit_in_bytes': '67108864\n',
      'one-pids/pids.max': '65\n',
      'two/memory.max': '1048576\n',
      'two/pids.max': 'max\n',
      'open/memory.max': 'max\n',
      'open/pids.max': 'max\n',
    };
    for (const directory of ['one', 'one-pids', 'two', 'open']) mkdirSync(join(base.path, directory));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(base.path, name), text);
  });
  afterAll(() => base.remove());
  const read = (version: 1 | 2 | undefined, directories: Readonly<Record<string, string>>) =>
    cgroupFacts({
      version,
      directories: Object.fromEntries(Object.entries(directories).map(([controller, name]) => [controller, join(base.path, name)])),
    });

  test.each<[string, 1 | 2 | undefined, Readonly<Record<string, string>>, object]>([
    ['version 1: a directory for each controller', 1, { memory: 'one', pids: 'one-pids' }, { cgroup: { memory: 64 * MiB, pids: 65 } }],
    ['version 1: only a controller for processes', 1, { pids: 'one-pids' }, { cgroup: { pids: 65 } }],
    ['version 2: one directory for all, where max is no limit', 2, { memory: 'two' }, { cgroup: { memory: MiB } }],
    ['version 2: no limits', 2, { memory: 'open', pids: 'open' }, { cgroup: {} }],
    ['a cgroup that is gone', 2, { memory: 'gone' }, {}],
    ['no cgroups', undefined, {}, {}],
  ])('%s', (_, version, directories, expected) => {
    expect(read(version, directories)).toEqual(expected);
  });
});

describe('a difference from the options', () => {
  const message = (options: SandboxOptions, facts: KernelFacts) => factsError(parseSandboxOptions(options), facts)?.message ?? '';

  test('is an error with a hint', () => {
    expect(factsError(parseSandboxOptions({}), { noNewPrivileges: false })).toMatchObject({
      name: 'NsError',
      code: 'ERR_NSJS_VERIFY',
      message: expect.stringContaining('noNewPrivileges: the kernel reports that it is not set'),
      hint: expect.stringContaining('nothing was left running'),
    });
  });

  test('cannot be found without facts', () => {
    expect(factsError(parseSandboxOptions({}), undefined)).toBeUndefined();
    expect(factsError(parseSandboxOptions({}), {})).toBeUndefined();
  });

  describe('in capabilities', () => {
    const with1 = (set: keyof typeof none, name = 'CAP_KILL'): KernelFacts => ({ capabilities: { ...none, [set]: [name] } });

    test.each(['bounding', 'permitted', 'effective', 'inheritable', 'ambient'] as const)(
      'a capability that is not allowed in the %s set is an error',
      (set) => {
        expect(message({}, with1(set))).toContain(`capabilities: the kernel reports CAP_KILL in the ${set} set`);
        expect(message({ capabilities: ['CAP_KILL'] }, with1(set))).toBe('');
        expect(message({ capabilities: ['CAP_CHOWN'] }, with1(set))).toContain(`CAP_KILL in the ${set} set`);
      },
    );

    test('fewer capabilities than the options allow are accepted', () => {
      expect(message({ capabilities: ['CAP_KILL', 'CAP_CHOWN'] }, { capabilities: none })).toBe('');
    });

    test('in a nested user namespace, a program may have all capabilities', () => {
      expect(message({ nestedUserNamespaces: true }, with1('effective'))).toBe('');
    });

    test('without a user namespace, the bounding set is that of the caller', () => {
      const options: SandboxOptions = { namespaces: { user: false } };
      expect(message(options, with1('bounding'))).toBe('');
      expect(message(options, with1('effective'))).toContain('CAP_KILL in the effective set');
    });

    test('in a joined user namespace, the bounding set is checked', () => {
      const options: SandboxOptions = { namespaces: { user: { type: 'user', fd: 0 } } };
      expect(message(options, with1('bounding'))).toContain('CAP_KILL in the bounding set');
    });

    test('with several ids, root has the permitted capabilities', () => {
      const options: SandboxOptions = { user: { ids: 'range' }, capabilities: { permitted: ['CAP_KILL'] } };
      expect(message(options, with1('effective'))).toBe('');
      for (const set of ['effective', 'permitted', 'bounding', 'inheritable', 'ambient'] as const)
        expect(message(options, with1(set, 'CAP_SYS_ADMIN'))).toContain(`CAP_SYS_ADMIN in the ${set} set`);
    });

    test('execve makes permitted capabilities effective; without no_new_privs it may add others', () => {
      const permitted: SandboxOptions = { capabilities: { permitted: ['CAP_KILL'] } };
      expect([message(permitted, with1('effective')), message(permitted, with1('permitted'))]).toEqual(['', '']);
      const bounding: SandboxOptions = { capabilities: { bounding: ['CAP_KILL'] }, noNewPrivileges: false, seccomp: 'off' };
      expect([message(bounding, with1('effective')), message(bounding, with1('permitted'))]).toEqual(['', '']);
    });

    test('a capability of the bounding set is not allowed in other sets', () => {
      const options: SandboxOptions = { capabilities: { bounding: ['CAP_KILL'] } };
      expect(message(options, with1('bounding'))).toBe('');
      expect(message(options, with1('effective'))).toContain('CAP_KILL in the effective set');
    });
  });

  test.each<[string, SandboxOptions, KernelFacts, string]>([
    ['no_new_privs that is set', {}, { noNewPrivileges: true }, ''],
    ['no_new_privs that is not required', { noNewPrivileges: false, seccomp: 'off' }, { noNewPrivileges: false }, ''],
    ['a filter in force', {}, { seccomp: { mode: 2, filters: 1 } }, ''],
    ['no filter', {}, { seccomp: { mode: 0, filters: 0 } }, 'seccomp: the kernel reports mode 0'],
    ['strict mode instead of a filter', {}, { seccomp: { mode: 1, filters: 1 } }, 'seccomp: the kernel reports mode 1'],
    ['mode 2 without a filter', {}, { seccomp: { mode: 2, filters: 0 } }, 'seccomp: the kernel reports mode 2'],
    ['no filter where none is required', { seccomp: 'off' }, { seccomp: { mode: 0, filters: 0 } }, ''],
    ['limits in force', { limits: { memory: '64M', pids: 10 } }, { cgroup: { memory: 64 * MiB, pids: 11 } }, ''],
    ['a limit of whole pages', { limits: { memory: 64 * MiB + 1, pids: 10 } }, { cgroup: { memory: 64 * MiB, pids: 11 } }, ''],
    [
      'more memory',
      { limits: { memory: '64M', pids: 10 } },
      { cgroup: { memory: 64 * MiB + 1, pids: 11 } },
      'limits.memory: the kernel reports 67108865',
    ],
    ['no limit of memory', { limits: { memory: '64M', pids: 10 } }, { cgroup: { pids: 11 } }, 'limits.memory: the kernel reports'],
    [
      'more processes',
      { limits: { memory: '64M', pids: 10 } },
      { cgroup: { memory: MiB, pids: 12 } },
      'limits.pids: the kernel reports 12',
    ],
    ['no limit of processes', { limits: { memory: '64M', pids: 10 } }, { cgroup: { memory: MiB } }, 'limits.pids: the kernel reports'],
  ])('%s', (_, options, facts, expected) => {
    if (expected === '') expect(message(options, facts)).toBe('');
    else expect(message(options, facts)).toContain(expected);
  });

  test('limits that are not required are not checked', () => {
    expect(factsError(parseSandboxOptions({}), { cgroup: {} }, {})).toBeUndefined();
  });

  test('limits of a program replace those of its sandbox', () => {
    const spec = parseSandboxOptions({ limits: { memory: '64M', pids: 10 } });
    expect(factsError(spec, { cgroup: { memory: 2 * MiB } }, { memory: 2 * MiB })).toBeUndefined();
    expect(factsError(spec, { cgroup: { memory: 2 * MiB } }, { memory: MiB })?.message).toContain('limits.memory');
  });

  describe('in mounts', () => {
    const closed = 'ro,nosuid,nodev';
    const mount = (target: string, flags = closed, more: Partial<MountFact> = {}): MountFact => ({
      target,
      root: '/',
      type: 'ext4',
      flags: flags.split(','),
      ...more,
    });
    const bind = { type: 'bind', source: '/srv', target: '/job', readonly: false } as const;

    test.each<[string, SandboxOptions, MountFact, string]>([
      ['a closed mount', {}, mount('/usr'), ''],
      ['set-id files', {}, mount('/usr', 'ro,nodev'), 'the mount at /usr: the kernel reports that set-id files work'],
      ['devices', {}, mount('/usr', 'ro,nosuid'), 'the mount at /usr: the kernel reports that devices work'],
      ['a writable mount', {}, mount('/usr', 'rw,nosuid,nodev'), 'the mount at /usr: the kernel reports that it is writable'],
      ['a writable root', {}, mount('/', 'rw,nosuid,nodev'), 'the mount at /: the kernel reports that it is writable'],
      ['a writable proc, whose files have permissions', {}, mount('/proc', 'rw,nosuid,nodev', { type: 'proc' }), ''],
      ['the /dev of the sandbox', {}, mount('/dev', 'rw,nosuid'), ''],
      ['mounts in /dev', {}, mount('/dev/pts', 'rw,nosuid'), ''],
      ['set-id files in /dev', {}, mount('/dev', 'rw'), 'the mount at /dev: the kernel reports that set-id files work'],
      ['the temporary directory', {}, mount('/tmp', 'rw,nosuid,nodev'), ''],
      ['the home directory', {}, mount('/home/sandbox', 'rw,nosuid,nodev'), ''],
      ['a directory beside the home directory', {}, mount('/home/other', 'rw,nosuid,nodev'), 'that it is writable'],
      ['devices in the temporary directory', {}, mount('/tmp', 'rw,nosuid'), 'the mount at /tmp: the kernel reports that devices work'],
      ['a single device', {}, mount('/usr/null', 'rw', { root: '/null', type: 'devtmpfs' }), ''],
      ['a directory that is called like a device', {}, mount('/usr/tty', 'rw', { root: '/tty' }), 'the mount at /usr/tty'],
      ['a single device of a /dev that is no mount', {}, mount('/usr/null', 'rw', { root: '/host/dev/null' }), ''],
      ['a file that is no device', {}, mount('/usr/passwd', 'rw', { root: '/passwd' }), 'the mount at /usr/passwd'],
      ['the root of the host, which is not isolated', { root: 'host' }, mount('/usr', 'rw'), ''],
      ['the mounts of the host, which are shared', { root: 'host', namespaces: { mnt: false } }, mount('/usr', 'rw'), ''],
    ])('%s', (_, options, fact, expected) => {
      const found = message(options, { mounts: [fact] });
      if (expected === '') expect(found).toBe('');
      else expect(found).toContain(expected);
    });

    test.each<[string, SandboxOptions['mounts'], readonly MountFact[], string]>([
      ['a writable bind mount', [bind], [mount('/job', 'rw,nosuid,nodev')], ''],
      ['a mount in a writable bind mount', [bind], [mount('/job'), mount('/job/sub', 'rw,nosuid,nodev')], ''],
      ['a mount beside a writable bind mount', [bind], [mount('/job'), mount('/jobs', 'rw,nosuid,nodev')], 'the mount at /jobs'],
      [
        'a read-only bind mount',
        [{ ...bind, readonly: true }],
        [mount('/job', 'rw,nosuid,nodev')],
        'the mount at /job: the kernel reports that it is writable',
      ],
      [
        'a read-only bind mount below a writable one',
        [bind, { ...bind, target: '/job/sub', readonly: true }],
        [mount('/job', 'rw,nosuid,nodev'), mount('/job/sub', 'rw,nosuid,nodev')],
        'the mount at /job/sub: the kernel reports that it is writable',
      ],
      [
        'a writable mount of the host below a read-only bind mount',
        [{ ...bind, readonly: true }],
        [mount('/job'), mount('/job/sub', 'rw,nosuid,nodev')],
        'the mount at /job/sub: the kernel reports that it is writable',
      ],
      [
        'a read-only mount over the temporary directory',
        [{ type: 'readonly', target: '/tmp' }],
        [mount('/tmp', 'rw,nosuid,nodev', { hidden: true }), mount('/tmp')],
        '',
      ],
      [
        'a read-only mount over the temporary directory that is writable',
        [{ type: 'readonly', target: '/tmp' }],
        [mount('/tmp', 'rw,nosuid,nodev', { hidden: true }), mount('/tmp', 'rw,nosuid,nodev')],
        'the mount at /tmp: the kernel reports that it is writable',
      ],
      ['a tmpfs', [{ type: 'tmpfs', target: '/a' }], [mount('/a', 'rw,nosuid,nodev', { type: 'tmpfs' })], ''],
      ['a /dev of its own', [{ type: 'dev', target: '/d' }], [mount('/d', 'rw,nosuid')], ''],
      ['a mount in a /dev of its own', [{ type: 'dev', target: '/d' }], [mount('/d/pts', 'rw,nosuid')], ''],
      ['a mount beside a /dev of its own', [{ type: 'dev', target: '/d' }], [mount('/d2', 'ro,nosuid')], 'that devices work'],
      [
        'a directory on the way to a mount, mounted on itself',
        [{ type: 'mask', target: '/srv/a/b' }],
        [mount('/srv/a', 'rw,nosuid,nodev'), mount('/srv/a/b')],
        '',
      ],
      [
        'a mount that is not at its target',
        [bind],
        [mount('/elsewhere')],
        'the bind at /job: the kernel reports that nothing is mounted there',
      ],
      [
        'a mask that is not at its target',
        [{ type: 'mask', target: '/usr/share' }],
        [mount('/usr')],
        'the mask at /usr/share: the kernel reports that nothing is mounted there',
      ],
      [
        'links and directories, which are no mounts',
        [
          { type: 'symlink', target: '/l', to: 'usr' },
          { type: 'dir', target: '/e' },
        ],
        [mount('/usr')],
        '',
      ],
    ])('%s', (_, mounts = [], facts, expected) => {
      const found = message({ mounts }, { mounts: facts });
      if (expected === '') expect(found).toBe('');
      else expect(found).toContain(expected);
    });

    test('the root of an overlay is writable, and that of a directory is not', () => {
      const facts = { mounts: [mount('/', 'rw,nosuid,nodev')] };
      expect(message({ root: { lower: ['/srv'] } }, facts)).toBe('');
      expect(message({ root: '/srv' }, facts)).toContain('the mount at /: the kernel reports that it is writable');
    });

    test('with the root of the host, a mount may be missing', () => {
      expect(message({ root: 'host', mounts: [bind] }, { mounts: [mount('/')] })).toBe('');
    });
  });
});
