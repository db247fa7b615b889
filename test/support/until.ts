import { isSlow, sleep } from '.';

/** Repeats a check until it does not throw, for one second. */
export async function eventually(check: () => void): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      check();
      return;
    } catch {
      await sleep(10);
    }
  }
  check();
}

/** Waits until a condition holds. */
export async function until(check: () => boolean, ms = isSlow ? 60_000 : 10_000): Promise<void> {
  for (const end = Date.now() + ms; !check(); await sleep(20)) if (Date.now() > end) throw new Error('the condition never held');
}
