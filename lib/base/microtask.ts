import { setImmediate } from 'node:timers';

/**
 * Calls `act` as a microtask. Its exception is uncaught, as with queueMicrotask() and process.nextTick(), which fake
 * timers of tests replace.
 */
export function asMicrotask(act: () => void): void {
  Promise.resolve()
    .then(act)
    .catch((error: unknown) => {
      setImmediate(() => {
        throw error;
      });
    });
}
