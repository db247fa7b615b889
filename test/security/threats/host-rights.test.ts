import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { presets, Sandbox, type SandboxOptions, spawnIsolated } from 'nsjs';
import { callNumber, isRoot, temporaryDirectory, testIf, thrown, trySh } from '../../support';

let directory: ReturnType<typeof temporaryDirectory>;

beforeEach(() => {
  directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
});

afterEach(() => directory.remove());

const writable = () => ({ type: 'bind', source: directory.path, target: '/out', readonly: false }) as const;

describe('set-id bits and capabilities of files on the host', () => {
  test.each<[string, SandboxOptions]>([
    ['nested user namespaces: file capabilities', { nestedUserNamespaces: true }],
    ['CAP_SETFCAP: file capabilities', { capabilities: ['CAP_SETFCAP'], user: { uid: 0, gid: 0 } }],
    [
      'a rule that allows set-id modes under a condition',
      { seccomp: { allow: [{ names: 'fchmodat', when: [{ index: 0, op: 'eq', value: 0xffffff9c, width: 32 }] }] } },
    ],
    ['io_uring', { seccomp: { allow: ['@aio'] } }],
  ])('%s: a writable bind mount is refused', (_, options) => {
    expect(thrown(() => spawnIsolated('true', [], { ...options, mounts: [writable()] })).message).toMatch(/^mounts\[0\]\.readonly: /);
  });

  test('preset landlock: write access is refused if set-id modes are allowed', () => {
    const landlock = { execute: ['system'], write: [directory.path] } as const;
    expect(
      thrown(() =>
        spawnIsolated('true', [], { preset: 'landlock', landlock, seccomp: { deny: ['socket', 'socketpair'], allow: ['fchmodat'] } }),
      ).message,
    ).toMatch(/^landlock: /);
  });

  test("with Podman's seccomp profile, no call creates a set-id file in a writable bind mount", async () => {
    const podman = JSON.parse(readFileSync(join(__dirname, '../../../test/data/podman-default-seccomp.json'), 'utf8')) as object;
    const line = `cd /out; touch f; chmod 4755 f; perl -e '$p = "g\\0"; syscall(${callNumber('openat')}, -100, $p, 0101, 06777); $r = syscall(${callNumber('io_uring_setup')}, 8, 0); print $!+0'`;
    expect((await trySh(line, { seccomp: { podman }, mounts: [writable()] })).stdout).toBe('38');
    for (const name of readdirSync(directory.path)) expect(statSync(join(directory.path, name)).mode & 0o6000).toBe(0);
  });
});

testIf(isRoot, 'root', 'a range of ids excludes capabilities such as CAP_SYS_ADMIN and CAP_SYS_PTRACE', () => {
  const capabilities = [...(presets.container.capabilities as readonly string[]), 'CAP_SYS_ADMIN'] as NonNullable<
    SandboxOptions['capabilities']
  >;
  const range = { preset: 'container', user: { ids: 'range' } } as const;
  expect(thrown(() => spawnIsolated('true', [], { ...range, capabilities })).message).toMatch(/^capabilities: .*CAP_SYS_ADMIN/);
  expect(
    thrown(() => spawnIsolated('true', [], { ...range, capabilities: { inheritable: ['CAP_SYS_PTRACE'], bounding: [] } })).message,
  ).toMatch(/^capabilities: .*CAP_SYS_PTRACE/);
});

test('a rule that allows user namespaces under a condition counts as allowing them', () => {
  const seccomp = { allow: [{ names: ['unshare'], when: [{ index: 0, op: 'ne', value: 0x10000000 }] }] } as const;
  expect(thrown(() => spawnIsolated('true', [], { user: { inner: false }, seccomp })).message).toMatch(/^nestedUserNamespaces: /);
});

testIf(isRoot, 'root', 'custom id maps apply to files that sandbox.fs creates', async () => {
  const ids = { uids: [{ inside: 0, outside: 1_850_000_000, count: 10 }], gids: [{ inside: 0, outside: 1_850_000_000, count: 10 }] };
  const sandbox = await Sandbox.open({ user: { ids } });
  await sandbox.fs.writeFile('/home/sandbox/f', 'x');
  expect((await sandbox.spawn('stat', ['-c', '%u', '/home/sandbox/f'])).stdout).toBe('0');
  await sandbox.close();
});

test('verification does not mistake a program that creates user namespaces for one that escaped', async () => {
  const all = await Promise.all(
    Array.from({ length: 20 }, () => spawnIsolated('unshare', ['-Ur', 'true'], { preset: 'container', verify: true, reject: false })),
  );
  expect(all.map(({ exitCode }) => exitCode)).toEqual(Array(20).fill(0));
});
