import { setTimeout } from 'node:timers';
import { Worker } from 'node:worker_threads';
import { shipped } from '../base/package-root';

/**
 * Request to the worker thread. It stores the memory of all processes below `init`, in KiB, in `answer[1]` and then
 * increments `answer[0]`.
 */
export interface HeldQuestion {
  readonly init: number;
  readonly answer: Int32Array;
}

const idleMs = 10_000;

let worker: Worker | undefined;
let idle: NodeJS.Timeout | undefined;

// A program can block readers of its memory map. A separate thread therefore reads it. The thread ends when it has been
// idle for a while.
function ask(question: HeldQuestion): void {
  worker ??= start();
  worker.postMessage(question);
  idle ??= setTimeout(stop, idleMs).unref();
  idle.refresh();
}

function start(): Worker {
  const started = new Worker(shipped.heldWorker, { stdin: false });
  started.unref();
  started.on('error', () => {
    if (worker === started) worker = undefined;
  });
  return started;
}

function stop(): void {
  void worker?.terminate();
  worker = undefined;
  idle = undefined;
}

/** Bytes of memory that the processes of one sandbox hold. Memory that they share is counted once. */
export class HeldMemory {
  private readonly answer = new Int32Array(new SharedArrayBuffer(8));
  private asked = 0;

  /**
   * Returns the last known value, or undefined until there is one, and requests the next one. No program can make it
   * block.
   */
  read(init: number): number | undefined {
    const answers = Atomics.load(this.answer, 0);
    if (answers === this.asked) {
      this.asked++;
      ask({ init, answer: this.answer });
    }
    return answers === 0 ? undefined : Atomics.load(this.answer, 1) * 1024;
  }
}
