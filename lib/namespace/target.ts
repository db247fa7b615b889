import { closeSync, constants, openSync } from 'node:fs';
import { errnos } from '../base/errnos';
import { OptionError, SysError } from '../base/errors';
import { isUrl, parseHostPath } from '../base/parse';
import { type NamespaceType, namespaceTypes } from '../features/namespaces';
import { CLONE } from '../sys/constants';
import { Fd } from '../sys/fd';
import { dup } from '../sys/file';
import { nsType } from '../sys/namespace';
import { PidFd } from '../sys/pidfd';
import { pidfdNamespace } from '../sys/process';
import { type NamespaceReference, openReference } from './reference';

/**
 * A way to find a namespace: that of this thread, of a process, at a path (below /proc, or pinned), of a descriptor, or
 * of a reference.
 */
export type NamespaceTarget = 'self' | number | PidFd | (string & {}) | URL | Fd | NamespaceReference;

/** CLONE_NEW* flags by type. */
export const namespaceFlags: Readonly<Record<NamespaceType, number>> = {
  user: CLONE.NEWUSER,
  mnt: CLONE.NEWNS,
  pid: CLONE.NEWPID,
  net: CLONE.NEWNET,
  ipc: CLONE.NEWIPC,
  uts: CLONE.NEWUTS,
  cgroup: CLONE.NEWCGROUP,
  time: CLONE.NEWTIME,
};

/** Opens a namespace and returns a new descriptor. */
export function openTarget(target: NamespaceTarget, type: NamespaceType): number {
  if (target === 'self') return openPath(`/proc/thread-self/ns/${type}`);
  if (target instanceof PidFd) return openOf(target, type);
  if (target instanceof Fd) return dup(target.fd);
  if (typeof target === 'string' || isUrl(target)) return openPath(parseHostPath(target, 'target'));
  if (typeof target === 'object') return openReference(target, type, openOf);
  if (typeof target !== 'number')
    throw new OptionError('target', "expected 'self', a pid, a PidFd, a path, an Fd or a result of toJSON()", 'ERR_INVALID_ARG_TYPE');
  using process = PidFd.open(target);
  return openOf(process, type);
}

// Uses the pidfd if the kernel supports it (Linux 6.11), else the pid. If the process is still alive after that, the
// pid was not reused.
function openOf(process: PidFd, type: NamespaceType): number {
  try {
    return pidfdNamespace(process.fd, type);
  } catch (error) {
    if (!(error instanceof SysError) || !['ENOTTY', 'EINVAL', 'EOPNOTSUPP'].includes(error.code)) throw error;
  }
  const fd = openPath(`/proc/${process.pid}/ns/${type}`);
  if (process.alive) return fd;
  closeSync(fd);
  throw new SysError({ errno: errnos.ESRCH, syscall: 'pidfd_open', hint: 'the process has ended' });
}

function openPath(path: string): number {
  try {
    // O_NONBLOCK: if the path is a FIFO, the open must not wait for a writer.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { errno = -5, syscall = 'open' } = error as NodeJS.ErrnoException;
    throw new SysError({ errno: -errno, syscall, path });
  }
}

/** Returns the type of a namespace by its descriptor. Undefined if the descriptor is not of a namespace. */
export function typeOf(fd: number): NamespaceType | undefined {
  try {
    const flag = nsType(fd);
    return namespaceTypes.find((type) => namespaceFlags[type] === flag);
  } catch {
    return undefined;
  }
}
