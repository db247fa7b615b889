import { PidFd } from '../sys/pidfd';

/**
 * Kills processes one by one. `members` is read again after each pidfd is opened, because the pid may have been reused.
 */
export function killEach(pids: readonly number[], members: () => readonly number[]): void {
  for (const pid of pids) {
    try {
      const pidfd = PidFd.open(pid);
      try {
        if (members().includes(pid)) pidfd.kill('SIGKILL');
      } finally {
        pidfd.close();
      }
    } catch {
      // The process has exited.
    }
  }
}
