// The worker thread of HeldMemory. It may block on operations of programs on their memory.
import { parentPort } from 'node:worker_threads';
import { boundedText } from '../proc/bounded-text';
import { descendants, residentMemory } from '../proc/processes';
import type { HeldQuestion } from './held-memory';

const kilobyte = 1024;

/** Returns the memory of one process in KiB. Shared memory counts in proportion to its number of users (PSS). */
function heldBy(pid: number): number {
  const rollup = boundedText(`/proc/${pid}/smaps_rollup`);
  if (rollup === '') return residentMemory(pid) / kilobyte;
  return [...rollup.matchAll(/^Pss_(?:Anon|Shmem):\s*(\d+)/gm)].reduce((sum, [, size]) => sum + Number(size), 0);
}

parentPort?.on('message', ({ init, answer }: HeldQuestion) => {
  const held = descendants(init).reduce((sum, pid) => sum + heldBy(pid), 0);
  Atomics.store(answer, 1, Math.min(held, 2 ** 31 - 1));
  Atomics.add(answer, 0, 1);
});
