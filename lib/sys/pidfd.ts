import { SysError } from '../errors';
import { native } from '../native';

function checked(syscall: string, result: number): number {
  if (result < 0) throw new SysError({ errno: -result, syscall });
  return result;
}

/**
 * A descriptor that stands for a process, pidfd_open(2), Linux 5.3. The caller closes it.
 * Throws SysError: EINVAL, ESRCH, EMFILE.
 */
export function pidfdOpen(pid: number, flags = 0): number {
  return checked('pidfd_open', native().pidfdOpen(pid, flags));
}

/**
 * Sends a signal to the process of a pidfd, pidfd_send_signal(2), Linux 5.1: never to another one that got its number.
 * Throws SysError: EBADF, EINVAL, EPERM, ESRCH.
 */
export function pidfdSendSignal(pidfd: number, signal: number): void {
  checked('pidfd_send_signal', native().pidfdSendSignal(pidfd, signal));
}
