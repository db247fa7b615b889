// The hosts that refuse a part of what nsjs needs: each must answer with a typed error that names cause and fix, or
// with the degradation that was preferred.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isRoot, temporaryFolder, testIf } from '../support';

const library = join(__dirname, '../../dist/index.js');
const checkout = dirname(dirname(library));

/** A program for Node that spawns with the given options and prints what came of it as JSON. */
const attempt = (options: string) => `
  const { spawnIsolated, probe } = require(${JSON.stringify(library)});
  (async () => {
    const { features } = await probe();
    try {
      const { stdout, report } = await spawnIsolated('/bin/sh', ['-c', 'id -u; cat /proc/self/status 2>/dev/null | grep -c NoNewPrivs'], ${options});
      console.log(JSON.stringify({ stdout, dropped: report.dropped, features }));
    } catch ({ name, code, syscall, origin, hint, message }) {
      console.log(JSON.stringify({ name, code, syscall, origin, hint, message, features }));
    }
  })()`;

const inNamespace = (setUp: string, options = '{ reject: false }') =>
  JSON.parse(
    execFileSync('unshare', ['-Ur', '/bin/sh', '-c', `${setUp}; exec "$0" -e "$1"`, process.execPath, attempt(options)], {
      encoding: 'utf8',
    }),
  );

test('in a nested user namespace everything works', () => {
  expect(inNamespace(':').stdout).toMatch(/^\d+\n1$/);
});

test('with user.max_user_namespaces = 0 the error names the cause and the fix', () => {
  const answer = inNamespace('echo 0 > /proc/sys/user/max_user_namespaces');
  expect(answer).toMatchObject({
    name: 'SysError',
    code: 'ENOSPC',
    syscall: 'clone3',
    origin: 'namespaces',
    hint: expect.stringContaining('max_user_namespaces'),
  });
  expect(answer.features.userNamespaces).toMatchObject({
    available: false,
    reason: 'user.max_user_namespaces is 0',
    fix: expect.stringContaining('sysctl'),
  });
});

test('where /proc is covered by other mounts, proc is refused, or left out and reported', () => {
  const cover = 'unshare -m true; mount -t tmpfs none /proc/sys 2>/dev/null';
  const run = (options: string) =>
    JSON.parse(
      execFileSync('unshare', ['-Urm', '/bin/sh', '-c', `${cover}; exec "$0" -e "$1"`, process.execPath, attempt(options)], {
        encoding: 'utf8',
      }),
    );
  expect(run('{}')).toMatchObject({ name: 'SysError', code: 'EPERM', origin: 'proc', hint: expect.stringContaining("proc: 'prefer'") });
  const preferred = run("{ proc: 'prefer', reject: false }");
  expect(preferred.dropped).toContainEqual(expect.objectContaining({ control: 'proc', fix: expect.any(String) }));
  expect(preferred.features.proc).toMatchObject({ available: false, reason: expect.stringContaining('covered') });
});

interface DockerProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet: number;
  readonly syscalls: readonly {
    names: string[];
    action: string;
    errnoRet?: number;
    args?: unknown[];
    includes?: { caps?: string[]; arches?: string[]; minKernel?: string };
    excludes?: { caps?: string[] };
  }[];
}

/** Docker's default profile as it applies to a container without extra capabilities. */
function dockerSeccomp() {
  const profile = JSON.parse(readFileSync(join(checkout, 'test/data/moby-default-seccomp.json'), 'utf8')) as DockerProfile;
  const arch = process.arch === 'x64' ? 'amd64' : 'arm64';
  const applies = ({ includes }: DockerProfile['syscalls'][number]) =>
    !includes?.caps?.length && (!includes?.arches || includes.arches.includes(arch));
  const syscalls = profile.syscalls.filter(applies).map(({ names, action, errnoRet, args }) => ({
    names,
    action,
    ...(errnoRet === undefined ? {} : { errnoRet }),
    ...(args?.length ? { args } : {}),
  }));
  return {
    defaultAction: profile.defaultAction,
    defaultErrnoRet: profile.defaultErrnoRet,
    architectures: [process.arch === 'x64' ? 'SCMP_ARCH_X86_64' : 'SCMP_ARCH_AARCH64'],
    syscalls,
  };
}

const dockerMasks = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/scsi',
];
const dockerReadonly = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];
const capabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

/** A root of links into /usr; what is mounted on it runc makes itself. */
function makeRoot(bundle: string): string {
  const root = join(bundle, 'root');
  mkdirSync(root);
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name));
  return root;
}

/** Runs Node in a container that runc makes as Docker would, with the host's /usr. */
function inContainer(options: string, seccomp: boolean) {
  const bundle = temporaryFolder();
  chmodSync(bundle.path, 0o755);
  const sets = Object.fromEntries(['bounding', 'effective', 'permitted'].map((set) => [set, capabilities]));
  const config = {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      args: [process.execPath, '-e', attempt(options)],
      env: ['PATH=/usr/bin:/bin'],
      cwd: '/',
      capabilities: sets,
      noNewPrivileges: false,
    },
    root: { path: makeRoot(bundle.path), readonly: false },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs' },
      ...['/usr', checkout].map((path) => ({ destination: path, type: 'bind', source: path, options: ['bind', 'ro'] })),
    ],
    linux: {
      namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })),
      maskedPaths: dockerMasks,
      readonlyPaths: dockerReadonly,
      cgroupsPath: `/nsjs-test-${process.pid}`,
      ...(seccomp ? { seccomp: dockerSeccomp() } : {}),
    },
  };
  mkdirSync(join(bundle.path, 'state'));
  writeFileSync(join(bundle.path, 'config.json'), JSON.stringify(config));
  const name = `nsjs-test-${process.pid}-${Date.now()}`;
  const { stdout, stderr } = spawnSync('runc', ['--root', join(bundle.path, 'state'), 'run', '--bundle', bundle.path, name], {
    encoding: 'utf8',
    timeout: 50_000,
  });
  bundle.remove();
  try {
    return JSON.parse(stdout);
  } catch {
    throw new Error(`runc: ${stdout}${stderr}`);
  }
}

const hasRunc = isRoot && spawnSync('runc', ['--version']).error === undefined;

testIf(hasRunc, 'runc and root', 'in Docker’s default container the error names the seccomp filter around', () => {
  const answer = inContainer('{}', true);
  expect(answer).toMatchObject({ name: 'SysError', syscall: 'clone3', origin: 'namespaces', hint: expect.any(String) });
  expect(answer.features.userNamespaces).toMatchObject({
    available: false,
    reason: expect.stringContaining('seccomp'),
    fix: expect.stringContaining('--security-opt'),
  });
});

testIf(hasRunc, 'runc and root', 'in a container without seccomp, with Docker’s masks, it runs where proc is only preferred', () => {
  const strict = inContainer('{}', false);
  expect(strict).toMatchObject({ name: 'SysError', code: 'EPERM', origin: 'proc', hint: expect.stringContaining('proc') });
  const answer = inContainer("{ proc: 'prefer', reject: false }", false);
  expect(answer.stdout).toMatch(/^\d+/);
  const dropped = answer.dropped.map(({ control }: { control: string }) => control).sort();
  expect(dropped).toEqual(expect.arrayContaining(['nestedUserNamespaces', 'proc']));
});
