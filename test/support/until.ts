import { isSlow, sleep } from '.';

/** Repeats a check until it does not throw, for five seconds. */
export async function eventually(check: () => void): Promise<void> {
  for (const end = Date.now() + 5000; Date.now() < end; await sleep(10)) {
    try {
      check();
      return;
    } catch {}
  }
  check();
}

/** Waits until a condition is true. */
export async function until(check: () => boolean, ms = isSlow ? 60_000 : 10_000): Promise<void> {
  for (const end = Date.now() + ms; !check(); await sleep(20)) if (Date.now() > end) throw new Error('the condition never held');
}
