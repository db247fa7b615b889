import { tracingChannel } from 'node:diagnostics_channel';

/** What subscribers of the tracing channel `nsjs:spawn` get; at the end `error` is there if it rejects or throws, and `result` wherever there is one; both if the program failed. */
export interface SpawnTrace {
  readonly command: readonly string[];
  result?: unknown;
  error?: unknown;
}

const channels = tracingChannel<unknown, SpawnTrace>('nsjs:spawn');

/** Publishes `start`; the returned function publishes `error` and `asyncEnd`. Costs nothing without subscribers. */
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
