import { closeSync, fstatSync, readFileSync } from 'node:fs';
import { OptionError, SysError } from './errors';
import type { NamespaceType } from './features/namespaces';
import { listNamespaces } from './list-namespaces';
import { parseObject } from './parse';
import { PidFd } from './pidfd';
import { AT } from './sys/constants';
import { FD_NSFS_ROOT, type FileHandle, nameToHandleAt, openByHandleAt } from './sys/file';

/** A namespace written down, as JSON. */
export interface NamespaceReference {
  readonly type: NamespaceType;
  readonly inode: number;
  /** Which life of the machine: /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
  /** Of nsfs, Linux 6.18. */
  readonly handle?: FileHandle;
  /** A member, where the kernel has no handles, and when it started (proc_pid_stat(5)). */
  readonly pid?: number;
  readonly startTime?: number;
}

const keys = ['type', 'inode', 'bootId', 'handle', 'pid', 'startTime'] as const;
const stale = 116;

export function referenceTo(fd: number, type: NamespaceType, inode: number): NamespaceReference {
  const bootId = readBootId();
  try {
    const { type: kind, bytes } = nameToHandleAt(fd, '', AT.EMPTY_PATH);
    return { type, inode, bootId, handle: { type: kind, bytes } };
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
  }
  const member = listNamespaces({ types: [type] }).namespaces.find((one) => one.inode === inode)?.leader;
  return member === undefined ? { type, inode, bootId } : { type, inode, bootId, pid: member, startTime: startTime(member) };
}

/** Opens what was written down. Throws SysError ESTALE if it is gone, or was of another life of the machine. */
export function openReference(
  reference: NamespaceReference,
  type: NamespaceType,
  openOf: (process: PidFd, type: NamespaceType) => number,
): number {
  const found = parseObject(reference, 'target', keys) as unknown as NamespaceReference;
  if (found.type !== type) throw new OptionError('target', `is a namespace of type '${found.type}', not '${type}'`);
  if (found.bootId !== readBootId()) throw gone('the machine has been started anew since it was written down');
  if (found.handle) return openHandle(found.handle);
  if (found.pid === undefined) throw gone('nothing in it was known by which it could be found');
  return openByProcess(found, found.pid, openOf);
}

function openHandle(handle: FileHandle): number {
  try {
    return openByHandleAt(FD_NSFS_ROOT, handle);
  } catch (error) {
    if (error instanceof SysError && error.code === 'ESTALE') throw gone('nothing has kept it alive');
    throw error;
  }
}

function openByProcess(
  { type, inode, startTime: started }: NamespaceReference,
  pid: number,
  openOf: (process: PidFd, type: NamespaceType) => number,
): number {
  using process = openProcess(pid);
  if (startTime(pid) !== started) throw gone('its process has ended');
  const fd = openOf(process, type);
  if (fstatSync(fd).ino === inode) return fd;
  closeSync(fd);
  throw gone('its process has left it');
}

function openProcess(pid: number): PidFd {
  try {
    return PidFd.open(pid);
  } catch (error) {
    if (error instanceof SysError && error.code === 'ESRCH') throw gone('its process has ended');
    throw error;
  }
}

function gone(hint: string): SysError {
  return new SysError({ errno: stale, syscall: 'open_by_handle_at', origin: 'namespace', hint });
}

// Field 22 of proc_pid_stat(5); the name in parentheses may hold anything.
function startTime(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]);
}

const readBootId = () => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
