import { readFileSync } from 'node:fs';

/** When a process began, in ticks since the machine did: pids come again, this with them does not. Throws where it is gone. */
export function startedAt(pid: number | string): string {
  // The name of the program may hold anything; the fields count from the bracket that ends it.
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
}
