// A container with Docker's defaults: runc with Docker's capabilities, masks and seccomp profile.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRoot, temporaryDirectory } from '.';

const checkout = join(__dirname, '../..');

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

/** Creates a root of links into /usr. runc creates the mount points in it. */
function makeRoot(bundle: string): string {
  const root = join(bundle, 'root');
  mkdirSync(root);
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name));
  return root;
}

export const hasRunc = isRoot && spawnSync('runc', ['--version']).error === undefined;

let count = 0;

/** Runs a program in such a container, with directories and files of the host at their own paths. */
export function runContainer({
  args,
  binds,
  seccomp,
}: {
  readonly args: readonly string[];
  readonly binds: readonly string[];
  readonly seccomp: boolean;
}) {
  const bundle = temporaryDirectory();
  chmodSync(bundle.path, 0o755);
  const sets = Object.fromEntries(['bounding', 'effective', 'permitted'].map((set) => [set, capabilities]));
  const config = {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args, env: ['PATH=/usr/bin:/bin'], cwd: '/', capabilities: sets, noNewPrivileges: false },
    root: { path: makeRoot(bundle.path), readonly: false },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['ro', 'nosuid', 'nodev', 'noexec'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs' },
      ...binds.map((path) => ({ destination: path, type: 'bind', source: path, options: ['bind', 'ro'] })),
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
  const name = `nsjs-test-${process.pid}-${count++}`;
  const { stdout, stderr } = spawnSync('runc', ['--root', join(bundle.path, 'state'), 'run', '--bundle', bundle.path, name], {
    encoding: 'utf8',
    timeout: 50_000,
    input: '',
  });
  bundle.remove();
  return { stdout, stderr };
}
