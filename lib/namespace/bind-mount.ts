import { closeSync, openSync, unlinkSync } from 'node:fs';
import { OptionError, SysError } from '../base/errors';
import type { NamespaceType } from '../features/namespaces';
import { MNT, MS } from '../sys/constants';
import { mount, umount2 } from '../sys/mount';

/** Pins a namespace: bind-mounts its nsfs file over a new empty file. The file is removed if the mount fails. */
export function pin(fd: number, path: string, type: NamespaceType): void {
  makeFile(path);
  try {
    mount(`/proc/self/fd/${fd}`, path, null, MS.BIND);
  } catch (error) {
    unlinkSync(path);
    if (!(error instanceof SysError)) throw error;
    throw new SysError({ errno: -error.errno, syscall: 'mount', origin: 'pin', path, hint: hint(error.code, type) });
  }
}

export function unpin(path: string): void {
  umount2(path, MNT.DETACH | MNT.UMOUNT_NOFOLLOW);
  unlinkSync(path);
}

function makeFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o444));
  } catch (error) {
    const { code, errno = -5, syscall = 'open' } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new OptionError('path', 'already exists; pass a path at which no file exists');
    throw new SysError({ errno: -errno, syscall, origin: 'pin', path });
  }
}

function hint(code: string, type: NamespaceType): string {
  if (code === 'EPERM') return 'pinning needs CAP_SYS_ADMIN; without it, keep the Namespace open or a process running in it';
  if (code === 'EINVAL' && type === 'mnt')
    return 'a mount namespace can be pinned only on a private mount (mount --make-private), from an older mount namespace';
  return 'see mount(2)';
}
