import { tracingChannel } from 'node:diagnostics_channel';

/**
 * Message of the tracing channel `nsjs:spawn`. At the end, `error` is set if the call rejects or throws, and `result`
 * if there is one; both are set if the program failed.
 */
export interface SpawnTrace {
  readonly command: readonly string[];
  result?: unknown;
  error?: unknown;
}

const channels = tracingChannel<unknown, SpawnTrace>('nsjs:spawn');

/** Publishes `start`; the returned function publishes `error` and `asyncEnd`. Does nothing without subscribers. */
export function traceSpawn(command: readonly string[]): (error: Error | undefined, result: unknown) => void {
  const { start, asyncEnd, error: failed } = channels;
  if (!start.hasSubscribers && !asyncEnd.hasSubscribers && !failed.hasSubscribers) return () => {};
  const trace: SpawnTrace = { command };
  start.publish(trace);
  return (error, result) => {
    if (result !== undefined) trace.result = result;
    if (error) {
      trace.error = error;
      failed.publish(trace);
    }
    asyncEnd.publish(trace);
  };
}
