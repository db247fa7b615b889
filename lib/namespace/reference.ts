import { closeSync, fstatSync, readFileSync } from 'node:fs';
import { OptionError, SysError } from '../base/errors';
import { parseInteger, parseObject, parseOneOf, parseString } from '../base/parse';
import { type NamespaceType, namespaceTypes } from '../features/namespaces';
import { startedAt } from '../proc/stat';
import { AT } from '../sys/constants';
import { FD_NSFS_ROOT, type FileHandle, nameToHandleAt, openByHandleAt } from '../sys/file';
import { PidFd } from '../sys/pidfd';
import { membersOf } from './list';

/** A reference to a namespace as plain JSON data, which can be stored and opened later. */
export interface NamespaceReference {
  readonly type: NamespaceType;
  readonly inode: number;
  /** Boot of the machine in which the reference is valid: content of /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
  /** File handle of nsfs, Linux 6.18. */
  readonly handle?: FileHandle;
  /** If the kernel has no handles: pid of a process in the namespace, and its start time (proc_pid_stat(5)). */
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
  const [member] = membersOf(type, inode);
  return member === undefined ? { type, inode, bootId } : { type, inode, bootId, pid: member, startTime: startedAt(member) };
}

/**
 * Opens a namespace by its reference. Throws SysError ESTALE if the namespace no longer exists or the machine has
 * rebooted since, OptionError if `given` is not a reference.
 */
export function openReference(given: unknown, type: NamespaceType, openOf: (process: PidFd, type: NamespaceType) => number): number {
  const reference = parseReference(given, type);
  if (reference.bootId !== readBootId()) throw gone('the machine has rebooted since the reference was created');
  const fd = openBy(reference, openOf);
  if (fstatSync(fd).ino === reference.inode) return fd;
  closeSync(fd);
  throw gone('the reference now leads to a different namespace');
}

function parseReference(given: unknown, type: NamespaceType): NamespaceReference {
  const { handle, pid, startTime: started, ...found } = parseObject(given, 'target', keys);
  const wanted = parseOneOf(found.type, 'target.type', namespaceTypes);
  if (wanted !== type) throw new OptionError('target', `is a namespace of type '${wanted}', not '${type}'`);
  return {
    type,
    inode: parseInteger(found.inode, 'target.inode', 1),
    bootId: parseString(found.bootId, 'target.bootId'),
    ...(handle === undefined ? {} : { handle: parseHandle(handle) }),
    ...(pid === undefined
      ? {}
      : { pid: parseInteger(pid, 'target.pid', 1, 2 ** 22), startTime: parseInteger(started, 'target.startTime', 0) }),
  };
}

function parseHandle(given: unknown): FileHandle {
  const { type, bytes } = parseObject(given, 'target.handle', ['type', 'bytes']);
  const text = parseString(bytes, 'target.handle.bytes');
  if (!/^([0-9a-f]{2})+$/.test(text)) throw new OptionError('target.handle.bytes', 'must be hexadecimal');
  return { type: parseInteger(type, 'target.handle.type', 0, 2 ** 31 - 1), bytes: text };
}

function openBy(reference: NamespaceReference, openOf: (process: PidFd, type: NamespaceType) => number): number {
  if (reference.handle) return openHandle(reference.handle);
  if (reference.pid === undefined) throw gone('the reference has neither a handle nor a pid');
  using process = openProcess(reference.pid);
  if (startedAt(reference.pid) !== reference.startTime) throw gone('its process has ended');
  return openOf(process, reference.type);
}

function openHandle(handle: FileHandle): number {
  try {
    return openByHandleAt(FD_NSFS_ROOT, handle);
  } catch (error) {
    if (error instanceof SysError && error.code === 'ESTALE') throw gone('the namespace no longer exists, because nothing kept it alive');
    throw error;
  }
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

const readBootId = () => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
