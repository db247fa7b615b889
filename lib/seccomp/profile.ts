import { allow, type Condition, errno, type Policy, type Rule } from './policy';

const eperm = 1;
const enosys = 38;
const eafnosupport = 97;

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

const arg = (index: Condition['index'], op: Condition['op'], value: number, mask?: number): Condition => ({
  index,
  op,
  value: BigInt(value),
  width: 32,
  ...(mask === undefined ? {} : { mask: BigInt(mask) }),
});

/** Groups of calls that are allowed whatever their arguments. */
const plain: Readonly<Record<string, string>> = {
  'files: what permissions and read-only mounts already decide': `
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range dup dup2 dup3
    stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd chdir
    fchdir rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat mkdir mkdirat rmdir chown fchown
    lchown fchownat utime utimes utimensat futimesat truncate ftruncate fallocate fsync fdatasync sync syncfs
    sync_file_range fadvise64 readahead fcntl flock statfs fstatfs umask sendfile copy_file_range splice tee pipe pipe2
    getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr lremovexattr
    fremovexattr inotify_init inotify_init1 inotify_add_watch inotify_rm_watch memfd_create cachestat`,
  events: `
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 epoll_ctl_old
    epoll_wait_old eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime`,
  memory: `
    mmap munmap mremap mprotect madvise brk mincore msync mlock mlock2 munlock mlockall munlockall membarrier
    pkey_alloc pkey_free pkey_mprotect remap_file_pages mseal`,
  'processes and threads of the sandbox itself': `
    fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid getpgid setpgid getpgrp getsid setsid
    kill tkill tgkill pidfd_open pidfd_send_signal rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend
    rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack pause alarm getitimer setitimer set_tid_address
    set_robust_list get_robust_list futex futex_waitv futex_wake futex_wait futex_requeue sched_yield
    sched_getaffinity sched_setaffinity sched_getparam sched_setparam sched_getscheduler sched_setscheduler
    sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min sched_rr_get_interval getpriority
    setpriority getcpu rseq arch_prctl prctl getrlimit getrusage times uname sysinfo getuid geteuid getgid getegid
    getresuid getresgid getgroups setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capget
    capset getrandom restart_syscall landlock_create_ruleset landlock_add_rule landlock_restrict_self`,
  time: `
    time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep timer_create timer_settime timer_gettime
    timer_getoverrun timer_delete`,
  'System V and POSIX IPC of its own namespace': `
    shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend
    mq_timedreceive mq_notify mq_getsetattr`,
  'sockets of its own network namespace': `
    bind connect listen accept accept4 getsockname getpeername sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg
    shutdown setsockopt getsockopt`,
};

const setIdBits = 0o6000;
const createFlag = 0o100; // O_CREAT
const temporaryFlag = 0o20000000; // __O_TMPFILE
// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
const namespaceFlags = 0x7e020000;
const newTimeFlag = 0x80;
const rlimitCore = 4;
const noListener = 0x8; // SECCOMP_FILTER_FLAG_NEW_LISTENER

const setId = 'a set-id file on a writable bind would be one on the host';

/** Refuses modes with set-id bits, allows the rest. */
function modeRules(names: readonly string[], index: Condition['index']): readonly Rule[] {
  return [
    { names, action: errno(eperm), when: [arg(index, 'ne', 0, setIdBits)], why: setId },
    { names, action: allow, why: 'file modes' },
  ];
}

function openRules(name: string, flags: Condition['index'], mode: Condition['index']): readonly Rule[] {
  const refuse = (flag: number): Rule => ({
    names: [name],
    action: errno(eperm),
    when: [arg(flags, 'ne', 0, flag), arg(mode, 'ne', 0, setIdBits)],
    why: setId,
  });
  return [refuse(createFlag), refuse(temporaryFlag), { names: [name], action: allow, why: 'files' }];
}

const allowValues = (name: string, index: Condition['index'], values: readonly number[], why: string): readonly Rule[] =>
  values.map((value) => ({ names: [name], action: allow, when: [arg(index, 'eq', value)], why }));

const families = { unix: 1, inet: 2, inet6: 10, netlink: 16 } as const;

// The family's own, IPPROTO_TCP, IPPROTO_UDP
const protocols = [0, 6, 17];

/** Requests of ioctl(2) that reach beyond the descriptor they are made on. */
const refusedRequests = {
  TIOCSTI: 0x5412,
  TIOCLINUX: 0x541c,
  TIOCCONS: 0x541d,
  TIOCSETD: 0x5423,
  SIOCGSKNS: 0x894c,
} as const;

export interface ProfileOptions {
  /** The program may make user namespaces and, in them, others. */
  readonly nestedUserNamespaces: boolean;
  /** AF_NETLINK sockets of the routing protocol, for getifaddrs(3). */
  readonly netlinkRoute: boolean;
}

/**
 * The default profile: an allow-list. What is not in it answers ENOSYS, as on a kernel that lacks the call, so that
 * libraries take their other way; where only some arguments are refused the answer is EPERM.
 */
export function defaultProfile({ nestedUserNamespaces, netlinkRoute }: ProfileOptions): Policy {
  const rules: Rule[] = Object.entries(plain).map(([why, names]) => ({ names: words(names), action: allow, why }));
  rules.push(
    ...openRules('open', 1, 2),
    ...openRules('openat', 2, 3),
    ...modeRules(['creat', 'chmod', 'fchmod', 'mknod'], 1),
    ...modeRules(['fchmodat', 'fchmodat2', 'mknodat'], 2),
    { names: ['openat2'], action: errno(enosys), why: 'its mode is behind a pointer' },
    { names: ['clone3'], action: errno(enosys), why: 'its flags are behind a pointer; libraries fall back to clone' },
    ...namespaceRules(nestedUserNamespaces),
    ...allowValues('personality', 0, [0, 8, 0x20000, 0x20008, 0xffffffff], 'no address space layout without randomness'),
    { names: ['setrlimit'], action: errno(eperm), when: [arg(0, 'eq', rlimitCore)], why: 'core 1 keeps the core_pattern handler away' },
    { names: ['setrlimit'], action: allow, why: 'limits can only be lowered' },
    {
      names: ['prlimit64'],
      action: errno(eperm),
      when: [arg(1, 'eq', rlimitCore), { index: 2, op: 'ne', value: 0n, width: 64 }],
      why: 'as setrlimit',
    },
    { names: ['prlimit64'], action: allow, when: [arg(0, 'eq', 0)], why: 'limits can only be lowered' },
    {
      names: ['prlimit64'],
      action: errno(eperm),
      when: [{ index: 2, op: 'ne', value: 0n, width: 64 }],
      why: "init and what is on its way to be a program have the program's own id",
    },
    { names: ['prlimit64'], action: allow, why: 'limits may be read' },
    ...allowValues('socketpair', 0, [families.unix], 'pipes between own processes'),
    { names: ['socketpair'], action: errno(eafnosupport), why: 'no other family' },
    ...socketRules(netlinkRoute),
    ...Object.values(refusedRequests).map((request) => ({
      names: ['ioctl'],
      action: errno(eperm),
      when: [arg(1, 'eq', request)],
      why: 'reaches beyond its descriptor',
    })),
    { names: ['ioctl'], action: allow, why: 'devices are only those of its own /dev' },
    { names: ['seccomp'], action: errno(eperm), when: [arg(1, 'ne', 0, noListener)], why: 'a listener could hold up calls of others' },
    { names: ['seccomp'], action: allow, why: 'a program may confine itself further' },
  );
  return { rules, otherwise: errno(enosys) };
}

// One condition after the other: each rule of several repeats all that follows it in the filter, which every spawn has to load.
function socketRules(netlinkRoute: boolean): readonly Rule[] {
  const refused = { action: errno(eafnosupport), why: 'AF_ALG, AF_VSOCK, AF_PACKET and the like are attack surface' };
  const internet = [families.inet, families.inet6] as const;
  return [
    ...allowValues('socket', 0, [families.unix], 'between its own processes'),
    ...(netlinkRoute
      ? [{ names: ['socket'], action: allow, when: [arg(0, 'eq', families.netlink), arg(2, 'eq', 0)], why: 'getifaddrs' }]
      : []),
    { names: ['socket'], when: internet.map((family) => arg(0, 'ne', family)), ...refused },
    ...allowValues('socket', 2, protocols, 'TCP and UDP; other protocols would load modules of the kernel'),
    { names: ['socket'], ...refused },
  ];
}

function namespaceRules(nested: boolean): readonly Rule[] {
  if (nested) return [{ names: ['clone', 'unshare'], action: allow, why: 'nested user namespaces are asked for' }];
  return [
    { names: ['clone'], action: allow, when: [arg(0, 'eq', 0, namespaceFlags)], why: 'threads and processes, no namespaces' },
    { names: ['clone'], action: errno(eperm), why: 'no namespaces' },
    { names: ['unshare'], action: allow, when: [arg(0, 'eq', 0, namespaceFlags | newTimeFlag)], why: 'no namespaces' },
    { names: ['unshare'], action: errno(eperm), why: 'no namespaces' },
  ];
}
