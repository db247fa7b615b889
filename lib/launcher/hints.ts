import type { OpName } from '../plan/ops';

const restricted = 'the host does not allow this process to create user namespaces: run `nsjs probe` for the cause and the fix';

/** Advice for operations that the kernel refused, by operation and errno name. */
const hints: Readonly<Partial<Record<OpName, Readonly<Record<string, string>>>>> = {
  Clone: {
    EPERM: restricted,
    ENOSPC: 'user.max_user_namespaces (or another limit of /proc/sys/user) is used up; raise it with sysctl',
    ENOSYS: 'the kernel lacks clone3, or a seccomp filter of the surrounding container blocks it',
    EUSERS: 'user namespaces are already nested 32 levels deep',
    EAGAIN: 'the process limit of the caller is reached (ulimit -u, pids.max)',
  },
  StartProgram: { EAGAIN: 'limits.pids is reached, or 256 programs run in this sandbox' },
  SetNs: {
    EPERM: 'the caller has no rights over the user namespace that owns it',
    EINVAL: 'the descriptor is a namespace of another type',
  },
  InnerUserNs: { ENOSPC: 'the parent user namespace does not allow new user namespaces, or their limit is reached' },
  OpenPty: { ENOENT: 'the sandbox has no /dev/pts: open it with `terminal: true`' },
  WriteInit: {
    EPERM:
      'the kernel refuses the id map: in a container the caller needs CAP_SETFCAP, under AppArmor a profile that allows userns; run `nsjs probe`',
    EACCES: restricted,
    EINVAL: 'an id of the map does not exist in the user namespace of the caller',
  },
  SetAttr: {
    EINVAL:
      'the file system of the source cannot be id-mapped (or the kernel is older than 5.12): chown a copy of it to the sandbox, or run as the user who owns it',
    EPERM: 'the source has mounts whose flags this caller may not change',
  },
  OpenTree: {
    ENOENT: 'the path must exist: a source on the host, or a path inside that is to be read-only',
    EACCES: 'the caller has no permission to reach the source',
    EINVAL: 'the source lies on a mount that cannot be cloned',
  },
  NewFs: {
    EPERM:
      "the kernel does not allow a new file system here; /proc is refused if other mounts cover parts of the host's, as in most containers; set proc: 'prefer' to run without it",
  },
  MoveMount: {
    ENOENT: 'the target does not exist and cannot be created; in a custom root, create it first',
    EINVAL: 'a file can only be mounted on a file, and a directory on a directory: source and target are of different kinds',
    ENOTDIR: 'a file can only be mounted on a file, and a directory on a directory: source and target are of different kinds',
    ELOOP: 'the target passes through a symbolic link; name the real path',
  },
  MakeDir: {
    ELOOP: 'the target passes through a symbolic link; name the real path',
    EROFS: 'the target lies on a read-only mount: make it in the source first',
    ENOTDIR: 'a component of the target path is not a directory',
    EEXIST: 'the target is a file, but a directory is to be mounted on it',
  },
  MakeFile: {
    ELOOP: 'the target passes through a symbolic link; name the real path',
    EROFS: 'the target lies on a read-only mount: make it in the source first',
  },
  Mask: { ENOENT: 'there is nothing at the target to hide' },
  Pin: {
    ELOOP: 'a path below a symbolic link that programs can replace cannot be protected: use the real path',
    ENOENT: 'a directory on the way to the target does not exist; make it in the source first',
  },
  Chdir: {
    ENOENT: 'the directory does not exist inside; add a mount for it',
    ELOOP: 'a link of /proc cannot be the working directory',
    EACCES: 'the program has no permission to enter the directory',
  },
  Rlimit: { EPERM: 'raising a hard limit needs CAP_SYS_RESOURCE; use a value no higher than the hard limit of the caller' },
  WriteFile: {
    EBUSY: 'the usage of the cgroup already exceeds the limit',
    EROFS: 'the file system is read-only here, like /proc/sys in most containers',
  },
  Dup: { EBADF: 'the descriptor is not open' },
};

export function hintFor(name: OpName, errno: string): string | undefined {
  return hints[name]?.[errno];
}
