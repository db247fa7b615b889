// Starts sandboxes in an endless loop, each with `marker` among its arguments. leaks.test.ts ends this process in
// different ways.
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { spawnIsolated } from 'nsjs';

const marker = isMainThread ? (process.argv[2] ?? '') : String(workerData);
const how = process.argv[3];

async function spawnForever(): Promise<void> {
  for (;;) {
    const running = [1, 2].map(() =>
      spawnIsolated('/bin/sh', ['-c', 'sleep 100 & setsid sleep 100 & exec sleep 100', marker], { timeout: 40, reject: false }),
    );
    await Promise.allSettled(running);
  }
}

/** Terminates workers at random moments and prints a line at the end. */
async function terminateWorkers(): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const worker = new Worker(__filename, { workerData: marker });
    await new Promise((resolve) => worker.once('online', resolve));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 80));
    await worker.terminate();
  }
  console.log('terminated');
}

if (!isMainThread) void spawnForever();
else if (how === 'workers') void terminateWorkers();
else {
  console.log('ready');
  void spawnForever();
  if (how === 'exit') setTimeout(() => process.exit(7), Math.random() * 60);
}
