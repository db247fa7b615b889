import type { OpName } from '../plan/ops';

const restricted = 'the host does not let this process make user namespaces: run `nsjs probe` for the cause and the fix';

/** Advice for operations that the kernel refused, by operation and errno name. */
const hints: Readonly<Partial<Record<OpName, Readonly<Record<string, string>>>>> = {
  Clone: {
    EPERM: restricted,
    ENOSPC: 'user.max_user_namespaces (or another limit of /proc/sys/user) is used up; raise it with sysctl',
    ENOSYS: 'clone3 is missing or a seccomp filter of the container around hides it',
    EUSERS: 'user namespaces are nested 32 deep already',
    EAGAIN: 'a limit of processes of the caller is reached (ulimit -u, pids.max)',
  },
  StartProgram: { EAGAIN: 'limits.pids is reached, or 256 programs run in this sandbox' },
  SetNs: {
    EPERM: 'the caller has no rights over the user namespace that owns it',
    EINVAL: 'the descriptor is a namespace of another type',
  },
  InnerUserNs: { ENOSPC: 'user namespaces are refused, or used up, in the one it is to be made in' },
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
    ENOENT: 'what is named must exist: the source on the host, and inside what is to be read-only',
    EACCES: 'the caller may not reach the source',
    EINVAL: 'the source lies on a mount that cannot be cloned',
  },
  NewFs: {
    EPERM:
      "the kernel refuses a new file system here; for /proc: the host's own is covered by other mounts, as in most containers; set proc: 'prefer' to run without one",
  },
  MoveMount: {
    ENOENT: 'the target does not exist and can not be made there; in a root of your own, make it first',
    EINVAL: 'a file can only be mounted on a file, and a folder on a folder: the source and what is at the target are of two kinds',
    ENOTDIR: 'a file can only be mounted on a file, and a folder on a folder: the source and what is at the target are of two kinds',
    ELOOP: 'the target passes through a symbolic link; name the real path',
  },
  MakeDir: {
    ELOOP: 'the target passes through a symbolic link; name the real path',
    EROFS: 'the target lies on a read-only mount: make it in the source first',
    ENOTDIR: 'a part of the target is no folder',
    EEXIST: 'a file is at the target, and a folder is to be mounted there',
  },
  MakeFile: {
    ELOOP: 'the target passes through a symbolic link; name the real path',
    EROFS: 'the target lies on a read-only mount: make it in the source first',
  },
  Mask: { ENOENT: 'there is nothing at the target to hide' },
  Pin: {
    ELOOP: 'what lies below a symbolic link that programs can replace is not protected: name the real path',
    ENOENT: 'a directory on the way to the target does not exist; make it in the source first',
  },
  Chdir: {
    ENOENT: 'the folder must exist inside; add a mount for it',
    ELOOP: 'a link of /proc cannot be the working directory',
    EACCES: 'the program may not enter the folder',
  },
  Rlimit: { EPERM: 'only CAP_SYS_RESOURCE raises a hard limit; ask for less than the limit of the caller' },
  WriteFile: {
    EBUSY: 'the group already holds more than the limit',
    EROFS: 'that file system is read-only here, as /proc/sys is in most containers',
  },
  Dup: { EBADF: 'the descriptor is not open' },
};

export function hintFor(name: OpName, errno: string): string | undefined {
  return hints[name]?.[errno];
}
