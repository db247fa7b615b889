import { deepFreeze } from '../base/parse';
import type { PresetName, SandboxOptions } from '../features';

// Capabilities that rootless containers of other runtimes have. They apply only to the sandbox's own user namespace.
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

// Calls that CAP_SYS_CHROOT permits, and calls needed to create further namespaces.
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

// KEYCTL_JOIN_SESSION_KEYRING, which nsjs itself also calls for each program.
const joinKeyring = { names: 'keyctl', when: [{ index: 0, op: 'eq', value: 1 }] } as const;

const notZero = (index: number) => [{ index, op: 'ne', value: 0 }] as const;
const datagram = (type: number) => [{ index: 1, op: 'eq', value: type, mask: 0xf }] as const;

// Operations that namespaces restrict in the other presets, and Landlock does not.
const hostDenials = [
  { names: ['socket'], errno: 'EAFNOSUPPORT' },
  // SOCK_DGRAM, and SOCK_RAW, which is equivalent: they can send to any socket that has a path.
  { names: ['socketpair'], when: datagram(2), errno: 'EAFNOSUPPORT' },
  { names: ['socketpair'], when: datagram(3), errno: 'EAFNOSUPPORT' },
  // Operations on files by path, which Landlock allows.
  {
    names: [
      ...['chmod', 'fchmodat', 'fchmodat2', 'chown', 'lchown', 'fchownat', 'utime', 'utimes', 'futimesat'],
      ...['setxattr', 'lsetxattr', 'removexattr', 'lremovexattr', 'inotify_add_watch'],
      ...['inotify_init', 'inotify_init1'],
    ],
  },
  { names: ['utimensat'], when: notZero(1) },
  // Operations on other processes of the same user.
  { names: ['sched_setaffinity', 'sched_setscheduler', 'sched_setparam', 'sched_setattr'], when: notZero(0) },
  { names: ['setpriority'], when: notZero(0) },
  { names: ['setpriority'], when: notZero(1) },
  '@ipc',
] as const;

/**
 * Base values of the options, as data.
 * - `untrusted`: for a program that nobody has reviewed. No network, no files of the host except programs and
 *   libraries, no capabilities, a seccomp filter, and limits on memory, processes and files.
 * - `node`: like `untrusted`, with the needs of Node.js: more memory and threads, a /proc that shows the machine's
 *   processors and memory, and `os.networkInterfaces()`.
 * - `build`: for compilers and package managers: like `node`, with more memory, processes and space in /tmp and home.
 *   The caller specifies its work directory: `mounts: [{type: 'bind', source, target: '/work', readonly: false}]`.
 * - `container`: root in an environment that can contain other sandboxes: namespaces and mounts of its own, a full
 *   /proc (which shows the same as the machine's), terminals, and more capabilities over itself. More of the kernel is
 *   accessible than in the presets above, so it is for programs that are trusted to that extent, such as nsjs itself.
 *   No bind can be writable in it.
 * - `landlock`: no namespaces at all, for hosts where a user may not create them: Landlock, seccomp, limits and
 *   no_new_privs. The program sees the host's processes, names and programs. It reads and executes only these programs
 *   and the paths in `landlock`, writes nowhere else, cannot change a mode, owner or time by path, and can create no
 *   sockets except connected pairs. Weaker than the others; `report.dropped` lists the weaknesses.
 * - `none`: namespaces only, for callers who build their own sandbox: root inside, the host's files, every capability
 *   over the new namespaces, no seccomp, no limits. Not a sandbox.
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
