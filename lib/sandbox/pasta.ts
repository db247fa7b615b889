import { NsError } from '../base/errors';
import type { SandboxOptions } from '../features';
import { type NamespaceType, namespaceTypes } from '../features/namespaces';
import type { PastaSpec } from '../features/pasta';
import { host } from '../host/host';
import { findPasta, pastaArguments } from '../network/setup/pasta';
import { parseProgramOptions } from '../options/options';
import { parseSandboxOptions } from '../options/spec';
import { handle } from '../run/isolated-process';
import { openRuntime } from '../runtime/open';
import type { Runtime } from '../runtime/runtime';
import type { SocketNamespaces } from '../sys/in-namespace';

const options: SandboxOptions = {
  preset: 'none',
  proc: 'off',
  // pasta needs capabilities over the network namespace, to enter it and to set it up, and over itself, to confine
  // itself.
  capabilities: ['CAP_SYS_ADMIN', 'CAP_NET_ADMIN', 'CAP_NET_BIND_SERVICE', 'CAP_SYS_PTRACE', 'CAP_SETUID', 'CAP_SETGID', 'CAP_SYS_CHROOT'],
};

/**
 * Starts pasta(1) for a sandbox and waits until the network is ready. A launcher runs it in a pid namespace of its own,
 * so that it ends with the sandbox or with this process, even if they are killed. Rejects with NsError
 * ERR_NSJS_NETWORK, which contains pasta's error output.
 */
export async function startPasta(spec: PastaSpec, { netFd, userFd }: SocketNamespaces, signal: AbortSignal | undefined): Promise<Runtime> {
  const parsed = parseSandboxOptions({ ...options, mounts: [{ type: 'proc', target: '/proc' }] });
  const isNew = (type: NamespaceType) => type === 'pid' || type === 'mnt';
  const chosen = Object.fromEntries(namespaceTypes.map((type) => [type, isNew(type)])) as Record<NamespaceType, boolean>;
  const joined = userFd === undefined || host().privileged ? {} : { user: userFd };
  // Unlike programs in a sandbox, pasta needs the host's network and rights over the sandbox's namespace.
  const { runtime } = await openRuntime({ ...parsed, namespaces: { ...chosen, joined } }, signal);
  try {
    const program = parseProgramOptions({ options, spec: runtime.spec }, findPasta() ?? 'pasta', pastaArguments(spec), {
      stdio: ['ignore', 'pipe', 'pipe', netFd],
      reject: false,
    });
    // pasta goes to the background once the network is set up.
    const { exitCode, stderr } = await handle(program, (ready, events) => runtime.spawn(ready, events));
    if (exitCode !== 0)
      throw new NsError('ERR_NSJS_NETWORK', `network.pasta: pasta exited with status ${exitCode}: ${String(stderr).trim().slice(-400)}`, {
        hint: 'pasta needs a default route on the host and access to /dev/net/tun',
      });
    return runtime;
  } catch (error) {
    await runtime.close();
    throw error;
  }
}
