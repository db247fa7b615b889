import { join } from 'node:path';
import { setTimeout } from 'node:timers';
import { Worker } from 'node:worker_threads';

/** What is asked of the thread: the memory below a process, in KiB, into the second number of `answer`; the first one counts answers. */
export interface HeldQuestion {
  readonly init: number;
  readonly answer: Int32Array;
}

const idleMs = 10_000;

let worker: Worker | undefined;
let idle: NodeJS.Timeout | undefined;

// A program can keep whoever reads its memory's map waiting: that is a thread of its own, which ends when nobody has asked for a while.
function ask(question: HeldQuestion): void {
  worker ??= start();
  worker.postMessage(question);
  idle ??= setTimeout(stop, idleMs).unref();
  idle.refresh();
}

function start(): Worker {
  const started = new Worker(join(__dirname, 'held-worker.js'), { stdin: false });
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

/** Bytes of memory that the processes of one sandbox hold, what they share counted once. */
export class HeldMemory {
  private readonly answer = new Int32Array(new SharedArrayBuffer(8));
  private asked = 0;

  /** The last that is known, undefined until there is an answer; asks for the next one. Blocks for nothing that a program does. */
  read(init: number): number | undefined {
    const answers = Atomics.load(this.answer, 0);
    if (answers === this.asked) {
      this.asked++;
      ask({ init, answer: this.answer });
    }
    return answers === 0 ? undefined : Atomics.load(this.answer, 1) * 1024;
  }
}
