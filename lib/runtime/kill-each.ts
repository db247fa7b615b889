import { PidFd } from '../sys/pidfd';

/** Kills processes one by one, by descriptors that are looked at again: a number could be somebody else's by now. */
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
      // It has ended.
    }
  }
}
