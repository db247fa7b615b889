interface Waiting {
  readonly acts: Set<() => void>;
  readonly listener: () => void;
}

const waiting = new WeakMap<AbortSignal, Waiting>();

/**
 * Calls back once when the signal is aborted; the returned function takes that back. The signal has one listener, however many wait for it:
 * Node warns of more than a few.
 */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (!signal) return () => {};
  const { acts } = waiting.get(signal) ?? listen(signal);
  // A new function each time, so that the same `act` can be registered twice.
  const own = () => act();
  acts.add(own);
  return () => {
    if (acts.delete(own) && acts.size === 0) forget(signal);
  };
}

function listen(signal: AbortSignal): Waiting {
  const acts = new Set<() => void>();
  const listener = () => {
    for (const act of [...acts]) act();
  };
  const made = { acts, listener };
  waiting.set(signal, made);
  signal.addEventListener('abort', listener, { once: true });
  return made;
}

function forget(signal: AbortSignal): void {
  const found = waiting.get(signal);
  if (found) signal.removeEventListener('abort', found.listener);
  waiting.delete(signal);
}
