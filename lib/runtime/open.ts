import { AbortError } from '../base/errors';
import type { Spec } from '../features/spec';
import { closedError } from '../launcher/session';
import { onAbort } from '../run/abort';
import { type Opened, Runtime } from './runtime';

/**
 * Opens a sandbox. Rejects with the error of the step that failed or with an AbortError, after everything of the
 * sandbox is gone. Also rejects with the errors of starting the launcher.
 */
export async function openRuntime(
  spec: Spec,
  signal: AbortSignal | undefined,
): Promise<{ readonly runtime: Runtime; readonly opened: Opened }> {
  if (signal?.aborted) throw new AbortError(signal.reason);
  const runtime = new Runtime(spec);
  void runtime.ended.then(onAbort(signal, () => void runtime.close()));
  try {
    const opened = await runtime.opened;
    if (signal?.aborted) throw closedError();
    return { runtime, opened };
  } catch (error) {
    throw signal?.aborted ? new AbortError(signal.reason) : error;
  }
}

/**
 * Returns the user namespace that gives rights over the network namespace, which is the one that owns it: the sandbox's
 * own (`userFd`), or the one in which the network was set up. Root needs none.
 */
export function networkOwner({ context, spec, launched }: Runtime, userFd: number): { readonly userFd?: number } {
  if (context.hostId !== undefined) return {};
  const owner = launched.network?.where.userFd;
  if (owner !== undefined) return { userFd: owner };
  return spec.namespaces.user ? { userFd } : {};
}
