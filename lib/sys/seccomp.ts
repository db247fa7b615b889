import { native } from '../native/addon';
import { call } from './call';
import { SECCOMP } from './constants';

const instructionSize = 8;

/**
 * Installs a filter, given as `struct sock_filter` instructions, on the calling thread, seccomp(2) SET_MODE_FILTER,
 * Linux 3.17. With FILTER_FLAG_TSYNC it is installed on all threads of the process. Needs no_new_privs or
 * CAP_SYS_ADMIN, and cannot be undone. Returns 0, or, with FILTER_FLAG_NEW_LISTENER, a listener descriptor. Throws
 * SysError: EACCES, EINVAL, ESRCH.
 */
export function seccompSetModeFilter(filter: Uint8Array, flags = 0): number {
  const program = Buffer.alloc(16);
  program.writeUInt16LE(filter.byteLength / instructionSize, 0);
  program.writeBigUInt64LE(native().address(filter), 8);
  return call('seccomp', SECCOMP.SET_MODE_FILTER, flags, program);
}

/** Returns whether the kernel supports an action (SECCOMP_RET_*), seccomp(2) GET_ACTION_AVAIL, Linux 4.14. */
export function seccompActionAvail(action: number): boolean {
  try {
    call('seccomp', SECCOMP.GET_ACTION_AVAIL, 0, Uint32Array.from([action]));
    return true;
  } catch {
    return false;
  }
}
