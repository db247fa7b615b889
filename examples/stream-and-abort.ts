// Reads the lines of a program as they arrive, then aborts it. No process is left when the promise settles.
import { spawnIsolated } from 'nsjs';

async function main(): Promise<void> {
  const controller = new AbortController();
  const running = spawnIsolated('/bin/sh', ['-c', 'i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done'], {
    signal: controller.signal,
  });
  try {
    for await (const line of running) {
      console.log(line);
      if (line === 'line 3') controller.abort(new Error('seen enough'));
    }
  } catch (error) {
    const { code, cause } = error as { code?: string; cause?: Error };
    console.log(`ended: ${code}, because: ${cause?.message}`);
  }
}

void main();
