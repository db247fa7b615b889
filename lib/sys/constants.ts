/** Flags of clone(2), unshare(2) and setns(2). */
export const CLONE = Object.freeze({
  NEWTIME: 0x80,
  PIDFD: 0x1000,
  NEWNS: 0x20000,
  NEWCGROUP: 0x2000000,
  NEWUTS: 0x4000000,
  NEWIPC: 0x8000000,
  NEWUSER: 0x10000000,
  NEWPID: 0x20000000,
  NEWNET: 0x40000000,
  CLEAR_SIGHAND: 0x100000000n,
  INTO_CGROUP: 0x200000000n,
});

/** Flags of mount(2). */
export const MS = Object.freeze({
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  REMOUNT: 32,
  BIND: 4096,
  MOVE: 8192,
  REC: 16384,
  UNBINDABLE: 1 << 17,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
});

/** Flags of umount2(2). */
export const MNT = Object.freeze({ FORCE: 1, DETACH: 2, EXPIRE: 4, UMOUNT_NOFOLLOW: 8 });

/** Attributes of mount_setattr(2) and fsmount(2). */
export const MOUNT_ATTR = Object.freeze({
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  NOATIME: 0x10,
  NODIRATIME: 0x80,
  IDMAP: 0x100000,
  NOSYMFOLLOW: 0x200000,
});

/** Commands of fsconfig(2). */
export const FSCONFIG = Object.freeze({
  SET_FLAG: 0,
  SET_STRING: 1,
  SET_BINARY: 2,
  SET_PATH: 3,
  SET_PATH_EMPTY: 4,
  SET_FD: 5,
  CMD_CREATE: 6,
  CMD_RECONFIGURE: 7,
  CMD_CREATE_EXCL: 8,
});

/** Flags of open_tree(2), which can be combined with AT.RECURSIVE. */
export const OPEN_TREE = Object.freeze({ CLONE: 1, CLOEXEC: 0o2000000 });

/** Flags of move_mount(2). */
export const MOVE_MOUNT = Object.freeze({
  F_SYMLINKS: 1,
  F_EMPTY_PATH: 4,
  T_SYMLINKS: 0x10,
  T_EMPTY_PATH: 0x40,
  SET_GROUP: 0x100,
  BENEATH: 0x200,
});

/** Descriptors and flags of the system calls that take a directory descriptor and a path. */
export const AT = Object.freeze({ FDCWD: -100, SYMLINK_NOFOLLOW: 0x100, EMPTY_PATH: 0x1000, RECURSIVE: 0x8000, HANDLE_FID: 0x200 });

/** Flags that restrict how openat2(2) resolves a path. */
export const RESOLVE = Object.freeze({ NO_XDEV: 1, NO_MAGICLINKS: 2, NO_SYMLINKS: 4, BENEATH: 8, IN_ROOT: 0x10, CACHED: 0x20 });

/** Mask of the fields that statmount(2) returns. */
export const STATMOUNT = Object.freeze({
  SB_BASIC: 0x1,
  MNT_BASIC: 0x2,
  PROPAGATE_FROM: 0x4,
  MNT_ROOT: 0x8,
  MNT_POINT: 0x10,
  FS_TYPE: 0x20,
  MNT_NS_ID: 0x40,
  MNT_OPTS: 0x80,
});

/** Options of waitid(2). */
export const W = Object.freeze({ NOHANG: 1, STOPPED: 2, EXITED: 4, CONTINUED: 8, NOWAIT: 0x1000000 });

/** Flags of memfd_create(2). */
export const MFD = Object.freeze({ CLOEXEC: 1, ALLOW_SEALING: 2, NOEXEC_SEAL: 8, EXEC: 0x10 });

/** Flags of close_range(2). */
export const CLOSE_RANGE = Object.freeze({ UNSHARE: 2, CLOEXEC: 4 });

/** Options of prctl(2) that concern isolation. */
export const PR = Object.freeze({
  SET_PDEATHSIG: 1,
  GET_PDEATHSIG: 2,
  GET_DUMPABLE: 3,
  SET_DUMPABLE: 4,
  CAPBSET_READ: 23,
  CAPBSET_DROP: 24,
  GET_SECUREBITS: 27,
  SET_SECUREBITS: 28,
  SET_CHILD_SUBREAPER: 36,
  GET_CHILD_SUBREAPER: 37,
  SET_NO_NEW_PRIVS: 38,
  GET_NO_NEW_PRIVS: 39,
  CAP_AMBIENT: 47,
});

/** Operations and flags of seccomp(2). */
export const SECCOMP = Object.freeze({
  SET_MODE_STRICT: 0,
  SET_MODE_FILTER: 1,
  GET_ACTION_AVAIL: 2,
  GET_NOTIF_SIZES: 3,
  FILTER_FLAG_TSYNC: 1,
  FILTER_FLAG_LOG: 2,
  FILTER_FLAG_SPEC_ALLOW: 4,
  FILTER_FLAG_NEW_LISTENER: 8,
});

/** Access rights of landlock(7), by their kernel names. */
export const LANDLOCK_ACCESS_FS = Object.freeze({
  EXECUTE: 1,
  WRITE_FILE: 1 << 1,
  READ_FILE: 1 << 2,
  READ_DIR: 1 << 3,
  REMOVE_DIR: 1 << 4,
  REMOVE_FILE: 1 << 5,
  MAKE_CHAR: 1 << 6,
  MAKE_DIR: 1 << 7,
  MAKE_REG: 1 << 8,
  MAKE_SOCK: 1 << 9,
  MAKE_FIFO: 1 << 10,
  MAKE_BLOCK: 1 << 11,
  MAKE_SYM: 1 << 12,
  REFER: 1 << 13,
  TRUNCATE: 1 << 14,
  IOCTL_DEV: 1 << 15,
});
export const LANDLOCK_ACCESS_NET = Object.freeze({ BIND_TCP: 1, CONNECT_TCP: 2 });
export const LANDLOCK_SCOPE = Object.freeze({ ABSTRACT_UNIX_SOCKET: 1, SIGNAL: 2 });

/** Resources of getrlimit(2). */
export const RLIMIT = Object.freeze({
  CPU: 0,
  FSIZE: 1,
  DATA: 2,
  STACK: 3,
  CORE: 4,
  RSS: 5,
  NPROC: 6,
  NOFILE: 7,
  MEMLOCK: 8,
  AS: 9,
  LOCKS: 10,
  SIGPENDING: 11,
  MSGQUEUE: 12,
  NICE: 13,
  RTPRIO: 14,
  RTTIME: 15,
});
