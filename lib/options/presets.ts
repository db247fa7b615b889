import { deepFreeze } from '../base/parse';
import type { PresetName, SandboxOptions } from '../features';

// What rootless containers of other runtimes have, all of them over the sandbox's own user namespace only.
const containerCapabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
] as const;

// What CAP_SYS_CHROOT is for, and what making further namespaces takes.
const nestingCalls = [
  'chroot',
  'clone3',
  'fsconfig',
  'fsmount',
  'fsopen',
  'fspick',
  'mount',
  'mount_setattr',
  'move_mount',
  'open_tree',
  'openat2',
  'pivot_root',
  'setdomainname',
  'sethostname',
  'setns',
  'umount2',
] as const;

// KEYCTL_JOIN_SESSION_KEYRING, as nsjs itself does for each program.
const joinKeyring = { names: 'keyctl', when: [{ index: 0, op: 'eq', value: 1 }] } as const;

const notZero = (index: number) => [{ index, op: 'ne', value: 0 }] as const;
const datagram = (type: number) => [{ index: 1, op: 'eq', value: type, mask: 0xf }] as const;

// What namespaces keep a program from elsewhere, and Landlock does not.
const hostDenials = [
  { names: ['socket'], errno: 'EAFNOSUPPORT' },
  // SOCK_DGRAM, and SOCK_RAW, which is the same: they can send to any socket that has a path.
  { names: ['socketpair'], when: datagram(2), errno: 'EAFNOSUPPORT' },
  { names: ['socketpair'], when: datagram(3), errno: 'EAFNOSUPPORT' },
  // Files by their path, which Landlock lets go on.
  {
    names: [
      ...['chmod', 'fchmodat', 'fchmodat2', 'chown', 'lchown', 'fchownat', 'utime', 'utimes', 'futimesat'],
      ...['setxattr', 'lsetxattr', 'removexattr', 'lremovexattr', 'inotify_add_watch'],
      ...['inotify_init', 'inotify_init1'],
    ],
  },
  { names: ['utimensat'], when: notZero(1) },
  // Other processes of the same user.
  { names: ['sched_setaffinity', 'sched_setscheduler', 'sched_setparam', 'sched_setattr'], when: notZero(0) },
  { names: ['setpriority'], when: notZero(0) },
  { names: ['setpriority'], when: notZero(1) },
  '@ipc',
] as const;

/**
 * Where options start from, as data.
 * - `untrusted`: a program that nobody has read. No network, no files of the host but programs and libraries, no
 *   capabilities, seccomp, limits on memory, processes and files.
 * - `node`: as `untrusted`, with what Node.js itself wants: more memory and threads, a /proc that shows the machine's
 *   processors and memory, and `os.networkInterfaces()`.
 * - `build`: for compilers and package managers: as `node`, with more memory, processes and room in /tmp and home. Its work
 *   directory is named by the caller: `mounts: [{type: 'bind', source, target: '/work', readonly: false}]`.
 * - `container`: root inside, in a world that can hold others: namespaces and mounts of its own, a full /proc (which shows what
 *   the machine's does), terminals, more capabilities over itself. More of the kernel is within reach than in the other two; it
 *   is for programs that are trusted as far as that goes, such as nsjs itself. No bind can be writable in it.
 * - `landlock`: no namespaces at all, for hosts where a user may not make them: Landlock, seccomp, limits and no_new_privs. The
 *   program sees the host's processes, names and programs; it reads and runs only those and what `landlock` names, writes
 *   nowhere else, changes no mode, owner or time by path, and makes no socket but connected pairs. Weaker than the others; `report.dropped`
 *   says where.
 * - `none`: namespaces only, for those who build their own: root inside, the host's files, every capability over the
 *   new namespaces, no seccomp, no limits. Not a sandbox.
 */
export const presets: Readonly<Record<PresetName, SandboxOptions>> = deepFreeze({
  untrusted: {
    landlock: 'prefer',
    limits: { memory: '512M', swap: 0, pids: 64, cpuWeight: 10 },
    rlimits: { core: 1, nofile: 1024, memlock: 65_536, msgqueue: 819_200, sigpending: 1024 },
  },
  node: {
    landlock: 'prefer',
    proc: 'masked',
    netlink: true,
    limits: { memory: '1G', swap: 0, pids: 128, cpuWeight: 50 },
    rlimits: { core: 1, nofile: 4096, memlock: 65_536, msgqueue: 819_200, sigpending: 1024 },
  },
  build: {
    landlock: 'prefer',
    proc: 'masked',
    netlink: true,
    scratch: { size: '1G', inodes: 262_144 },
    limits: { memory: '2G', swap: 0, pids: 512, cpuWeight: 50 },
    rlimits: { core: 1, nofile: 4096, memlock: 65_536, msgqueue: 819_200, sigpending: 1024 },
  },
  container: {
    user: { uid: 0, gid: 0 },
    proc: 'full',
    netlink: true,
    terminal: true,
    nestedUserNamespaces: true,
    capabilities: containerCapabilities,
    seccomp: { allow: [...nestingCalls, joinKeyring] },
    limits: { memory: '1G', swap: 0, pids: 256, cpuWeight: 50 },
    rlimits: { core: 1, nofile: 4096, memlock: 65_536, msgqueue: 819_200, sigpending: 1024 },
  },
  landlock: {
    namespaces: { user: false, mnt: false, pid: false, net: false, ipc: false, uts: false, cgroup: false },
    root: 'host',
    proc: 'off',
    keyring: 'prefer',
    landlock: { level: 'prefer', execute: ['system'], scopes: ['signal', 'abstract-unix-socket'] },
    seccomp: { deny: hostDenials },
    env: { HOME: '/' },
    limits: { memory: '512M', swap: 0, pids: 64, cpuWeight: 10 },
    rlimits: { core: 1, nofile: 1024, memlock: 65_536, msgqueue: 819_200, sigpending: 1024 },
  },
  none: {
    user: { uid: 0, gid: 0, inner: false },
    root: 'host',
    mounts: [{ type: 'proc', target: '/proc' }],
    proc: 'full',
    nestedUserNamespaces: true,
    cgroup: 'off',
    capabilities: 'all',
    noNewPrivileges: false,
    seccomp: 'off',
  },
});
