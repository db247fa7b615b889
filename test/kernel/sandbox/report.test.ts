// The confinement in force, as read back from the kernel.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Sandbox, type SandboxOptions, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { parseSandboxOptions } from '../../../dist/options/spec';
import { factsError, parseMountinfo, parseStatus } from '../../../dist/report/kernel-facts';
import { isRoot, temporaryDirectory } from '../../support';

const nothing = { bounding: [], permitted: [], effective: [], inheritable: [], ambient: [] };

describe('report.kernel', () => {
  test('it has the capabilities, filters, ids and mounts of a program', async () => {
    const { report } = await spawnIsolated('true', [], { verify: true });
    const { kernel } = report;
    expect(kernel).toMatchObject({
      capabilities: nothing,
      noNewPrivileges: true,
      seccomp: { mode: 2 },
      uids: [0, 0, 0, 0],
      uidMap: [{ outside: 0, count: 1 }],
    });
    expect(kernel?.seccomp?.filters).toBeGreaterThan(0);
    // The limit of the cgroup includes init.
    if (report.cgroup && kernel?.cgroup) expect(kernel.cgroup).toEqual({ memory: 512 * 2 ** 20, pids: 65 });
    const at = (target: string) => kernel?.mounts?.find((mount) => mount.target === target);
    expect(at('/')).toMatchObject({ type: 'tmpfs', flags: expect.arrayContaining(['ro', 'nosuid', 'nodev']) });
    expect(at('/usr')?.flags).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev']));
    expect(at('/tmp')?.flags).toEqual(expect.arrayContaining(['rw', 'nosuid', 'nodev']));
    expect(spawnIsolatedSync('true', [], { verify: true }).report.kernel).toMatchObject({ capabilities: nothing });
  });

  test('it is undefined for a one-shot run without verify', async () => {
    expect((await spawnIsolated('true')).report.kernel).toBeUndefined();
  });

  test('a long-lived sandbox has it for its mounts and for each program, however short', async () => {
    const sandbox = await Sandbox.open();
    expect(sandbox.report.kernel?.mounts?.length).toBeGreaterThan(10);
    const all = await Promise.all(Array.from({ length: 20 }, () => sandbox.spawn('true')));
    for (const { report } of all) expect(report.kernel).toMatchObject({ capabilities: nothing, seccomp: { mode: 2 } });
    await sandbox.close();
    const quiet = await Sandbox.open({ verify: false });
    expect(quiet.report.kernel).toBeUndefined();
    await quiet.close();
  });

  test.each<[string, SandboxOptions]>([
    ['preset node', { preset: 'node' }],
    ['preset build', { preset: 'build' }],
    ['preset container', { preset: 'container' }],
    ['preset none', { preset: 'none' }],
    ['preset landlock', { preset: 'landlock' }],
    [
      'mounts of every kind',
      {
        mounts: [
          { type: 'tmpfs', target: '/a' },
          { type: 'bind', source: '/usr', target: '/b' },
          { type: 'bind', source: '/tmp', target: '/c', readonly: false },
          { type: 'file', target: '/f', data: 'x' },
          { type: 'file', target: '/etc/f', data: 'x' },
          { type: 'file', target: '/a/f', data: 'x' },
          { type: 'file', target: '/tmp/f', data: 'x' },
          { type: 'mask', target: '/usr/share' },
          { type: 'overlay', target: '/o', lower: '/usr' },
          { type: 'readonly', target: '/c' },
        ],
      },
    ],
    ['several ids', isRoot ? { user: { ids: 'range' }, capabilities: ['CAP_CHOWN', 'CAP_SETUID'] } : {}],
    ['capabilities', { capabilities: { permitted: ['CAP_KILL'], inheritable: ['CAP_KILL'], ambient: ['CAP_KILL'] } }],
  ])('the kernel confirms the options: %s', async (_, options) => {
    const { report } = await spawnIsolated('/bin/sh', ['-c', ':'], { ...options, verify: true });
    expect(report.kernel).toBeDefined();
  });
});

describe('mounts that hide others', () => {
  const source = temporaryDirectory();
  afterAll(() => source.remove());
  const bind = { type: 'bind', source: source.path } as const;
  const writable = { ...bind, readonly: false } as const;

  test.each<[string, NonNullable<SandboxOptions['mounts']>, string, string]>([
    ['a read-only bind mount over the temporary directory', [{ ...bind, target: '/tmp' }], '/tmp', 'no'],
    ['a read-only bind mount over the home directory', [{ ...bind, target: '/home/sandbox' }], '/home/sandbox', 'no'],
    [
      'a read-only bind mount over a tmpfs',
      [
        { type: 'tmpfs', target: '/x' },
        { ...bind, target: '/x' },
      ],
      '/x',
      'no',
    ],
    [
      'a tmpfs over a read-only bind mount',
      [
        { ...bind, target: '/x' },
        { type: 'tmpfs', target: '/x' },
      ],
      '/x',
      'yes',
    ],
    [
      'a directory where a tmpfs is',
      [
        { type: 'tmpfs', target: '/x' },
        { type: 'dir', target: '/x' },
      ],
      '/x',
      'yes',
    ],
    [
      'a tmpfs in a read-only bind mount',
      [
        { ...bind, target: '/w' },
        { type: 'tmpfs', target: '/w/s' },
      ],
      '/w',
      'no',
    ],
    [
      'a mask below a writable bind mount',
      [
        { ...writable, target: '/w' },
        { type: 'mask', target: '/w/s' },
      ],
      '/w/s',
      'no',
    ],
  ])('%s is verified as it is', async (_, mounts, directory, expected) => {
    mkdirSync(join(source.path, 's'), { recursive: true });
    const sandbox = await Sandbox.open({ mounts });
    const line = `touch ${directory}/new 2>/dev/null && echo yes || echo no`;
    const { stdout } = await sandbox.spawn('/bin/sh', ['-c', line]);
    await sandbox.close();
    expect(stdout).toBe(expected);
  });
});

describe('a difference between options and kernel is found', () => {
  const spec = parseSandboxOptions({});
  const status = (changes: Readonly<Record<string, string>>) => {
    const fields = {
      CapInh: '0',
      CapPrm: '0',
      CapEff: '0',
      CapBnd: '0',
      CapAmb: '0',
      NoNewPrivs: '1',
      Seccomp: '2',
      Seccomp_filters: '1',
      Groups: '',
      ...changes,
    };
    return parseStatus(
      Object.entries(fields)
        .map(([name, value]) => `${name}:\t${value}`)
        .join('\n'),
    );
  };
  const message = (facts: Parameters<typeof factsError>[1], of = spec) => factsError(of, facts)?.message ?? '';

  test.each<[Readonly<Record<string, string>>, RegExp]>([
    [{ CapEff: '0000000000200000' }, /capabilities: .*CAP_SYS_ADMIN in the effective set/],
    [{ CapBnd: '1' }, /CAP_CHOWN in the bounding set/],
    [{ CapAmb: '20' }, /CAP_KILL in the ambient set/],
    [{ NoNewPrivs: '0' }, /noNewPrivileges/],
    [{ Seccomp: '0', Seccomp_filters: '0' }, /seccomp: .*mode 0/],
  ])('%j', (changes, expected) => {
    expect(message(status({}))).toBe('');
    expect(message(status(changes))).toMatch(expected);
  });

  test.each<[string, RegExp]>([
    ['72 71 0:40 / / rw,nosuid,nodev - tmpfs none rw', /mount at \/: .*writable/],
    ['72 71 8:1 /usr /usr rw,nosuid,nodev - ext4 /dev/x rw', /mount at \/usr: .*writable/],
    ['72 71 8:1 /usr /usr ro,nodev - ext4 /dev/x rw', /mount at \/usr: .*set-id/],
    ['72 71 8:1 /usr /usr ro,nosuid - ext4 /dev/x rw', /mount at \/usr: .*devices/],
    ['72 71 8:1 /a\\040b /a\\040b rw,nosuid,nodev - ext4 /dev/x rw', /mount at \/a b/],
  ])('%s', (line, expected) => {
    expect(message({ mounts: parseMountinfo(line) })).toMatch(expected);
    expect(
      message({
        mounts: parseMountinfo(
          line.replace('rw,', 'ro,').replace('ro,nodev', 'ro,nosuid,nodev').replace('ro,nosuid -', 'ro,nosuid,nodev -'),
        ),
      }),
    ).toBe('');
  });
});

test('cgroup limits that are not in force are found', () => {
  const spec = parseSandboxOptions({});
  const message = (cgroup: { readonly memory?: number; readonly pids?: number }) => factsError(spec, { cgroup })?.message ?? '';
  expect(message({ memory: 512 * 2 ** 20, pids: 65 })).toBe('');
  expect(message({ memory: 2 ** 40, pids: 65 })).toMatch(/^limits.memory/);
  expect(message({ memory: 512 * 2 ** 20 })).toMatch(/^limits.pids/);
});

describe('selfTest', () => {
  test.each<[string, SandboxOptions]>([
    ['untrusted', {}],
    ['node', { preset: 'node' }],
    ['build', { preset: 'build' }],
    ['empty', { root: 'empty' }],
    ['landlock', { preset: 'landlock' }],
  ])('%s: every escape attempt is blocked', async (name, options) => {
    const sandbox = await Sandbox.open(options);
    const results = await sandbox.selfTest();
    await sandbox.close();
    expect(results.length).toBeGreaterThan(30);
    // getifaddrs(3) needs netlink sockets.
    const open = results.filter(({ blocked, attempt }) => !blocked && !(attempt === 'socket netlink' && ['node', 'build'].includes(name)));
    expect(open).toEqual([]);
  });

  test('none: attempts that succeed are reported', async () => {
    const sandbox = await Sandbox.open({ preset: 'none' });
    const open = (await sandbox.selfTest()).filter(({ blocked }) => !blocked).map(({ attempt }) => attempt);
    await sandbox.close();
    expect(open).toEqual(expect.arrayContaining(['unshare', 'unshare mnt', 'fsopen', 'keyctl']));
  });
});
