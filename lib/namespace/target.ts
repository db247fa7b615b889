import { closeSync, constants, openSync } from 'node:fs';
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

/** Where a namespace is found: of this thread, of a process, at a path (of nsfs, or pinned), by a descriptor, or as it was written down. */
export type NamespaceTarget = 'self' | number | PidFd | (string & {}) | URL | Fd | NamespaceReference;

/** CLONE_NEW* by type. */
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

/** A new descriptor of it. */
export function openTarget(target: NamespaceTarget, type: NamespaceType): number {
  if (target === 'self') return openPath(`/proc/thread-self/ns/${type}`);
  if (target instanceof PidFd) return openOf(target, type);
  if (target instanceof Fd) return dup(target.fd);
  if (typeof target === 'string' || isUrl(target)) return openPath(parseHostPath(target, 'target'));
  if (typeof target === 'object') return openReference(target, type, openOf);
  if (typeof target !== 'number')
    throw new OptionError('target', "expected 'self', a pid, a PidFd, a path, an Fd or what toJSON() wrote", 'ERR_INVALID_ARG_TYPE');
  using process = PidFd.open(target);
  return openOf(process, type);
}

// By the pidfd where the kernel can (6.11), else by its number, which is still its own if it is alive afterwards.
function openOf(process: PidFd, type: NamespaceType): number {
  try {
    return pidfdNamespace(process.fd, type);
  } catch (error) {
    if (!(error instanceof SysError) || !['ENOTTY', 'EINVAL', 'EOPNOTSUPP'].includes(error.code)) throw error;
  }
  const fd = openPath(`/proc/${process.pid}/ns/${type}`);
  if (process.alive) return fd;
  closeSync(fd);
  throw new SysError({ errno: 3, syscall: 'pidfd_open', hint: 'the process has ended' });
}

function openPath(path: string): number {
  try {
    // Not to wait for a writer, should somebody have put a FIFO there.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { errno = -5, syscall = 'open' } = error as NodeJS.ErrnoException;
    throw new SysError({ errno: -errno, syscall, path });
  }
}

/** The type of what a descriptor stands for; undefined if it is no namespace. */
export function typeOf(fd: number): NamespaceType | undefined {
  try {
    const flag = nsType(fd);
    return namespaceTypes.find((type) => namespaceFlags[type] === flag);
  } catch {
    return undefined;
  }
}
