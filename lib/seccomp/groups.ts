/** A group of system calls. */
export interface Group {
  readonly allowed: boolean;
  /**
   * The system calls by the reason why they are allowed or denied. Every call of the tables is in exactly one group.
   */
  readonly calls: Readonly<Record<string, string>>;
}

/** All groups of system calls. lib/seccomp/profile.ts defines the checks of arguments in the default profile. */
export const groups = {
  '@io': {
    allowed: true,
    calls: {
      'act on descriptors that the program already has': `read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek
        close close_range dup dup2 dup3 fcntl flock pipe pipe2 sendfile splice tee copy_file_range fsync fdatasync sync syncfs
        sync_file_range fadvise64 readahead ftruncate fallocate fchmod fchown fstat fstatfs getdents getdents64 futimesat cachestat`,
      'only the devices in the /dev of the sandbox exist; requests that affect more than the descriptor are denied': 'ioctl',
    },
  },
  '@poll': {
    allowed: true,
    calls: {
      'waits for events on descriptors': `poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
        epoll_ctl_old epoll_wait_old eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime`,
      'counted for the host id of the sandbox, or limited to a share of the limit of its user':
        'inotify_init inotify_init1 inotify_add_watch inotify_rm_watch',
    },
  },
  '@file': {
    allowed: true,
    calls: {
      'controlled by permissions and read-only mounts': `open openat creat stat lstat newfstatat statx access faccessat
        faccessat2 readlink readlinkat getcwd chdir fchdir rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat mkdir
        mkdirat rmdir chmod fchmodat fchmodat2 chown lchown fchownat utime utimes utimensat truncate umask statfs mknod mknodat`,
      'extended attributes of its own files': `getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr
        flistxattr removexattr lremovexattr fremovexattr`,
      'anonymous memory with a descriptor': 'memfd_create',
    },
  },
  '@memory': {
    allowed: true,
    calls: {
      'its own address space': `mmap munmap mremap mprotect madvise brk mincore msync mlock mlock2 munlock mlockall munlockall
        membarrier pkey_alloc pkey_free pkey_mprotect remap_file_pages mseal`,
    },
  },
  '@process': {
    allowed: true,
    calls: {
      'starts, ends and waits for its own processes; flags that create namespaces are denied': `fork vfork clone execve execveat exit
        exit_group wait4 waitid pidfd_open`,
      'information about itself and processes visible to it': `getpid getppid gettid getpgid setpgid getpgrp getsid setsid getrlimit getrusage
        times uname sysinfo getcpu`,
      'limits can only be lowered, and the core limit cannot be changed': 'setrlimit prlimit64',
      'flags that create namespaces are denied': 'unshare',
      'affects only its own process; most options need capabilities': 'prctl arch_prctl rseq',
      'address space layout randomization stays on': 'personality',
    },
  },
  '@thread': {
    allowed: true,
    calls: {
      'threads and their locks': `set_tid_address set_robust_list get_robust_list futex futex_waitv futex_wake futex_wait
        futex_requeue restart_syscall`,
      'scheduling of its own threads': `sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam
        sched_getscheduler sched_setscheduler sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min
        sched_rr_get_interval getpriority setpriority`,
    },
  },
  '@signal': {
    allowed: true,
    calls: {
      'limited to its pid namespace': `kill tkill tgkill pidfd_send_signal rt_sigaction rt_sigprocmask rt_sigreturn
        rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack pause alarm getitimer setitimer`,
    },
  },
  '@time': {
    allowed: true,
    calls: {
      'clocks can be read, not set': `time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep timer_create
        timer_settime timer_gettime timer_getoverrun timer_delete`,
    },
  },
  '@identity': {
    allowed: true,
    calls: {
      'only its own id is mapped': `getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid
        setresuid setresgid setfsuid setfsgid setgroups capget capset`,
      randomness: 'getrandom',
    },
  },
  '@ipc': {
    allowed: true,
    calls: {
      'System V and POSIX IPC in its own IPC namespace': `shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd
        msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr`,
    },
  },
  '@network': {
    allowed: true,
    calls: {
      'sockets of its own network namespace; families and protocols are an allow-list': `socket socketpair bind connect listen accept
        accept4 getsockname getpeername sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown setsockopt getsockopt`,
    },
  },
  '@confine': {
    allowed: true,
    calls: {
      'a program may confine itself further': 'seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self',
    },
  },
  '@pointer': {
    allowed: false,
    calls: {
      'the arguments to check are behind a pointer, which a filter cannot read; libraries fall back':
        'clone3 openat2 setxattrat getxattrat listxattrat removexattrat',
      'file attributes, already covered by older calls': 'file_getattr file_setattr',
    },
  },
  '@aio': {
    allowed: false,
    calls: {
      'acts on files and sockets without passing the filter (CVE-2023-2598 and others)': 'io_uring_setup io_uring_enter io_uring_register',
      'kernel AIO: rarely used and often faulty': 'io_setup io_destroy io_getevents io_submit io_cancel io_pgetevents',
      'passes page cache pages by reference (CVE-2022-0847)': 'vmsplice',
    },
  },
  '@mount': {
    allowed: false,
    calls: {
      'changes mounts': `mount umount2 pivot_root open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick
        mount_setattr chroot fchroot`,
      'shows mounts': 'statmount listmount ustat sysfs',
    },
  },
  '@namespace': {
    allowed: false,
    calls: { 'enters or renames namespaces': 'setns sethostname setdomainname listns' },
  },
  '@debug': {
    allowed: false,
    calls: {
      'inspects or controls other processes': `ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise
        process_mrelease`,
      'observes the kernel': 'perf_event_open bpf lookup_dcookie syslog uprobe uretprobe',
    },
  },
  '@handle': {
    allowed: false,
    calls: {
      'opens files without their path (the Shocker exploit of open_by_handle_at)': 'name_to_handle_at open_by_handle_at',
      'watches whole file systems': 'fanotify_init fanotify_mark',
    },
  },
  '@keyring': { allowed: false, calls: { 'keys are not isolated by namespaces': 'add_key request_key keyctl' } },
  '@module': {
    allowed: false,
    calls: { 'loads kernel code': 'create_module init_module finit_module delete_module kexec_load kexec_file_load' },
  },
  '@clock': { allowed: false, calls: { 'sets the system clock': 'settimeofday clock_settime adjtimex clock_adjtime' } },
  '@system': {
    allowed: false,
    calls: {
      'affects the whole machine': 'reboot swapon swapoff acct quotactl quotactl_fd vhangup',
      'accesses hardware': 'iopl ioperm',
      'security modules': 'lsm_get_self_attr lsm_set_self_attr lsm_list_modules',
    },
  },
  '@numa': {
    allowed: false,
    calls: { 'NUMA memory placement': 'mbind set_mempolicy get_mempolicy set_mempolicy_home_node migrate_pages move_pages' },
  },
  '@rare': {
    allowed: false,
    calls: {
      'handles page faults in user space, which makes kernel races easier to exploit': 'userfaultfd',
      'memory that the kernel cannot inspect or account properly': 'memfd_secret',
      'segments and shadow stacks: attack surface that no library needs': 'modify_ldt set_thread_area get_thread_area map_shadow_stack',
      'I/O priority; set by its own option': 'ioprio_set ioprio_get',
      'no library uses it yet': 'rseq_slice_yield',
    },
  },
  '@obsolete': {
    allowed: false,
    calls: {
      'removed from the kernel': `uselib _sysctl get_kernel_syms query_module nfsservctl getpmsg putpmsg afs_syscall tuxcall security
        vserver`,
    },
  },
} as const satisfies Readonly<Record<`@${string}`, Group>>;

export type GroupName = keyof typeof groups;

/** Splits a list of names at white space. */
export const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Returns all system calls of a group. */
export const callsOf = (name: GroupName): readonly string[] => Object.values(groups[name].calls as Group['calls']).flatMap(words);

export const isGroupName = (name: string): name is GroupName => Object.hasOwn(groups, name);
