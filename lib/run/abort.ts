interface Waiting {
  readonly acts: Set<() => void>;
  readonly listener: () => void;
}

const waiting = new WeakMap<AbortSignal, Waiting>();

/**
 * Calls `act` once when the signal is aborted; the returned function cancels that. All callbacks of a signal share one
 * listener, because Node warns about more than a few listeners.
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
