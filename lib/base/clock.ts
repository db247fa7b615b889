/**
 * Returns the time of a monotonic clock in ms, clock_gettime(2) with CLOCK_MONOTONIC. Unlike `performance.now()` it
 * does not make Node load its performance API, which takes 2 ms.
 */
export function monotonic(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}
