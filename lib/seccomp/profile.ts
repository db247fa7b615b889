import { errnos } from '../base/errnos';
import { type Group, groups, words } from './groups';
import { allow, type Condition, errno, type Policy, type Rule } from './policy';

const eafnosupport = 97;

const arg = (index: Condition['index'], op: Condition['op'], value: number, mask?: number): Condition => ({
  index,
  op,
  value: BigInt(value),
  width: 32,
  ...(mask === undefined ? {} : { mask: BigInt(mask) }),
});

const setIdBits = 0o6000;
const createFlag = 0o100; // O_CREAT
const temporaryFlag = 0o20000000; // __O_TMPFILE
// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
const namespaceFlags = 0x7e020000;
const newTimeFlag = 0x80;
const rlimitCore = 4;
const noListener = 0x8; // SECCOMP_FILTER_FLAG_NEW_LISTENER

const setId = 'a set-id file on a writable bind mount would also be set-id on the host';

/** Commands of fcntl(2) that let a process delay or watch other processes through a shared file. */
const refusedCommands = { F_SETLEASE: 1024, F_NOTIFY: 1026, F_SETDELEG: 1040 } as const;

/**
 * Rules against delaying other processes through files that a program may only read. Locks of flock(2) and fcntl(2)
 * need no rule: they only affect processes that use them.
 */
export const leaseRules: readonly Rule[] = Object.values(refusedCommands).map((command) => ({
  names: ['fcntl'],
  action: errno(errnos.EPERM),
  when: [arg(1, 'eq', command)],
  why: 'a lease on a shared file blocks writers on the host',
}));

const levels = { ip: 0, socket: 1, tcp: 6, udp: 17, ipv6: 41 } as const;

// Socket options, by level and number, that let a socket use more kernel memory than its cgroup is charged for. Those
// in bufferOptions succeed without effect, those in refusedOptions fail.
const bufferOptions = [
  [levels.socket, 7], // SO_SNDBUF
  [levels.socket, 8], // SO_RCVBUF
  [levels.ip, 11], // IP_RECVERR, which resolvers set and can do without
  [levels.ipv6, 25], // IPV6_RECVERR
] as const;
const refusedOptions = [
  [levels.socket, 26], // SO_ATTACH_FILTER; BPF programs also count towards a limit of the whole machine
  [levels.socket, 50], // SO_ATTACH_BPF
  [levels.socket, 51], // SO_ATTACH_REUSEPORT_CBPF
  [levels.socket, 52], // SO_ATTACH_REUSEPORT_EBPF
  [levels.socket, 37], // SO_TIMESTAMPING
  [levels.socket, 65], // SO_TIMESTAMPING_NEW
  [levels.tcp, 14], // TCP_MD5SIG
  [levels.tcp, 32], // TCP_MD5SIG_EXT
  [levels.tcp, 38], // TCP_AO_ADD_KEY
  [levels.udp, 1], // UDP_CORK
] as const;

const optionRules: readonly Rule[] = [
  // The kernel, too, silently limits buffer sizes to its own maximum.
  ...bufferOptions.map(([level, name]) =>
    optionRule(level, name, 0, 'reports success without effect: no cgroup is charged for the memory'),
  ),
  ...refusedOptions.map(([level, name]) => optionRule(level, name, errnos.EPERM, 'uses memory that no cgroup is charged for')),
  { names: ['setsockopt'], action: allow, why: 'options of sockets that the program owns' },
];

function optionRule(level: number, name: number, answer: number, why: string): Rule {
  return { names: ['setsockopt'], action: errno(answer), when: [arg(1, 'eq', level), arg(2, 'eq', name)], why };
}

/** Returns rules that deny modes with set-id bits and allow the rest. */
function modeRules(names: readonly string[], index: Condition['index']): readonly Rule[] {
  return [
    { names, action: errno(errnos.EPERM), when: [arg(index, 'ne', 0, setIdBits)], why: setId },
    { names, action: allow, why: 'file modes' },
  ];
}

function openRules(name: string, flags: Condition['index'], mode: Condition['index']): readonly Rule[] {
  const refuse = (flag: number): Rule => ({
    names: [name],
    action: errno(errnos.EPERM),
    when: [arg(flags, 'ne', 0, flag), arg(mode, 'ne', 0, setIdBits)],
    why: setId,
  });
  return [refuse(createFlag), refuse(temporaryFlag), { names: [name], action: allow, why: 'files' }];
}

const allowValues = (name: string, index: Condition['index'], values: readonly number[], why: string): readonly Rule[] =>
  values.map((value) => ({ names: [name], action: allow, when: [arg(index, 'eq', value)], why }));

const families = { unix: 1, inet: 2, inet6: 10, netlink: 16 } as const;

// The default of the family, IPPROTO_TCP, IPPROTO_UDP
const protocols = [0, 6, 17];

/** Requests of ioctl(2) that affect more than the descriptor they are made on. */
const refusedRequests = {
  TIOCSTI: 0x5412,
  TIOCLINUX: 0x541c,
  TIOCCONS: 0x541d,
  TIOCSETD: 0x5423,
  SIOCGSKNS: 0x894c,
} as const;

export interface ProfileOptions {
  /** Whether the program may create user namespaces and, in them, other namespaces. */
  readonly nestedUserNamespaces: boolean;
  /** Whether AF_NETLINK sockets of the routing protocol are allowed, for getifaddrs(3). */
  readonly netlinkRoute: boolean;
}

/**
 * Returns the default profile: an allow-list. Other calls fail with ENOSYS, as on a kernel that lacks them, so that
 * libraries fall back. Calls that are only denied for some arguments fail with EPERM.
 */
export function defaultProfile(options: ProfileOptions): Policy {
  const looked = argumentRules(options);
  const names = new Set(looked.flatMap((rule) => rule.names));
  return { rules: [...plainRules(names), ...looked], otherwise: errno(errnos.ENOSYS) };
}

/**
 * Returns the rules that keep a program from creating set-id files, for policies that are not based on the default
 * profile.
 */
export function setIdRules(): readonly Rule[] {
  const all = [...openRules('open', 1, 2), ...openRules('openat', 2, 3), ...fileModeRules];
  return [
    ...all.filter(({ action }) => action.kind !== 'allow'),
    hiddenMode,
    {
      names: ['io_uring_setup', 'io_uring_enter', 'io_uring_register'],
      action: errno(errnos.ENOSYS),
      why: 'would open files without passing the filter',
    },
  ];
}

// Returns rules for the allowed calls whose arguments are not checked.
function plainRules(looked: ReadonlySet<string>): readonly Rule[] {
  const allowed = Object.values<Group>(groups).filter((group) => group.allowed);
  return allowed
    .flatMap(({ calls }) => Object.entries(calls))
    .map(([why, text]) => ({ names: words(text).filter((name) => !looked.has(name)), action: allow, why }))
    .filter(({ names }) => names.length > 0);
}

const fileModeRules = [...modeRules(['creat', 'chmod', 'fchmod', 'mknod'], 1), ...modeRules(['fchmodat', 'fchmodat2', 'mknodat'], 2)];

const hiddenMode: Rule = {
  names: ['openat2'],
  action: errno(errnos.ENOSYS),
  why: 'its mode is behind a pointer, which a filter cannot read',
};

function argumentRules({ nestedUserNamespaces, netlinkRoute }: ProfileOptions): readonly Rule[] {
  return [
    ...openRules('open', 1, 2),
    ...openRules('openat', 2, 3),
    ...fileModeRules,
    hiddenMode,
    ...leaseRules,
    { names: ['fcntl'], action: allow, why: 'acts on descriptors that the program already has' },
    {
      names: ['clone3'],
      action: errno(errnos.ENOSYS),
      why: 'its flags are behind a pointer, which a filter cannot read; libraries fall back to clone',
    },
    ...namespaceRules(nestedUserNamespaces),
    ...allowValues('personality', 0, [0, 8, 0x20000, 0x20008, 0xffffffff], 'address space layout randomization stays on'),
    ...limitRules,
    ...allowValues('socketpair', 0, [families.unix], 'socket pairs between processes of the program'),
    { names: ['socketpair'], action: errno(eafnosupport), why: 'only AF_UNIX socket pairs are allowed' },
    ...socketRules(netlinkRoute),
    ...optionRules,
    ...Object.values(refusedRequests).map((request) => ({
      names: ['ioctl'],
      action: errno(errnos.EPERM),
      when: [arg(1, 'eq', request)],
      why: 'affects more than its descriptor',
    })),
    { names: ['ioctl'], action: allow, why: 'only the devices in the /dev of the sandbox exist' },
    {
      names: ['seccomp'],
      action: errno(errnos.EPERM),
      when: [arg(1, 'ne', 0, noListener)],
      why: 'a listener could delay system calls of other processes',
    },
    { names: ['seccomp'], action: allow, why: 'a program may confine itself further' },
  ];
}

const done = 0;
const noOldLimit: Condition = { index: 3, op: 'eq', value: 0n, width: 64 };
const newLimit: Condition = { index: 2, op: 'ne', value: 0n, width: 64 };

const limitRules: readonly Rule[] = [
  // Programs that lower it (sanitizers, gpg, ulimit -c 0) want no core file, and none is written anyway. If
  // core_pattern is a pipe, only a limit of 1 keeps the host's handler from running, so the limit is not changed.
  {
    names: ['setrlimit'],
    action: errno(done),
    when: [arg(0, 'eq', rlimitCore)],
    why: 'a core limit of 1 keeps the core_pattern handler from running',
  },
  { names: ['setrlimit'], action: allow, why: 'limits can only be lowered' },
  {
    names: ['prlimit64'],
    action: errno(done),
    when: [arg(0, 'eq', 0), arg(1, 'eq', rlimitCore), newLimit, noOldLimit],
    why: 'a core limit of 1 keeps the core_pattern handler from running',
  },
  {
    names: ['prlimit64'],
    action: errno(errnos.EPERM),
    when: [arg(1, 'eq', rlimitCore), newLimit],
    why: 'succeeding without effect is not possible: the filter cannot write the old limit',
  },
  { names: ['prlimit64'], action: allow, when: [arg(0, 'eq', 0)], why: 'limits can only be lowered' },
  {
    names: ['prlimit64'],
    action: errno(errnos.EPERM),
    when: [newLimit],
    why: 'init, and processes that are about to become programs, have the id of the program',
  },
  { names: ['prlimit64'], action: allow, why: 'limits may be read' },
];

// Conditions are tested one after the other. Rules that combine several conditions would repeat the code that follows
// them, and every spawn has to load the filter.
function socketRules(netlinkRoute: boolean): readonly Rule[] {
  const refused = { action: errno(eafnosupport), why: 'AF_ALG, AF_VSOCK, AF_PACKET and the like are attack surface' };
  const internet = [families.inet, families.inet6] as const;
  return [
    ...allowValues('socket', 0, [families.unix], 'sockets between its own processes'),
    ...(netlinkRoute
      ? [{ names: ['socket'], action: allow, when: [arg(0, 'eq', families.netlink), arg(2, 'eq', 0)], why: 'getifaddrs' }]
      : []),
    { names: ['socket'], when: internet.map((family) => arg(0, 'ne', family)), ...refused },
    ...allowValues('socket', 2, protocols, 'TCP and UDP; other protocols would load kernel modules'),
    { names: ['socket'], ...refused },
  ];
}

function namespaceRules(nested: boolean): readonly Rule[] {
  if (nested) return [{ names: ['clone', 'unshare'], action: allow, why: 'the option for nested user namespaces is set' }];
  return [
    { names: ['clone'], action: allow, when: [arg(0, 'eq', 0, namespaceFlags)], why: 'threads and processes, no namespaces' },
    { names: ['clone'], action: errno(errnos.EPERM), why: 'no namespaces' },
    { names: ['unshare'], action: allow, when: [arg(0, 'eq', 0, namespaceFlags | newTimeFlag)], why: 'no namespaces' },
    { names: ['unshare'], action: errno(errnos.EPERM), why: 'no namespaces' },
  ];
}
