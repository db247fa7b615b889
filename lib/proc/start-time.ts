import { readFileSync } from 'node:fs';

/**
 * Returns the start time of a process in clock ticks since boot. A pid can be reused, the pair of pid and start time
 * cannot. Throws if the process no longer exists.
 */
export function startedAt(pid: number | string): string {
  // The name of the program may contain any character, so the fields are counted from the last closing parenthesis.
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
}
