/**
 * Returns the time in ms since this process has started, of a monotonic clock. `performance.now()` would make Node load
 * its performance API, which takes 2 ms, and fake timers of test runners replace it and process.hrtime().
 */
export const monotonic = (): number => process.uptime() * 1000;
