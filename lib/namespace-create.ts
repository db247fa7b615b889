import type { SandboxOptions } from './features';
import { type NamespaceType, namespaceTypes } from './features/namespaces';
import { host } from './host';
import { openResident } from './launch/resident';
import { parseSandboxOptions } from './launch/spec';
import { parseArray, parseOneOf } from './parse';
import { dup } from './sys/file';

/** What new namespaces are given. */
export interface CreateOptions extends Pick<SandboxOptions, 'hostname' | 'domainname' | 'time' | 'launcherPath'> {
  readonly signal?: AbortSignal;
}

/** Descriptors of what was made, and what must stay for them. */
export interface Made {
  readonly fds: readonly (readonly [type: NamespaceType, fd: number])[];
  readonly held?: AsyncDisposable;
}

/** Makes namespaces in a launcher that starts no program. Rejects with a SysError, OptionError or AbortError. */
export async function createNamespaces(wanted: readonly NamespaceType[], { signal, ...options }: CreateOptions): Promise<Made> {
  const list = parseArray(wanted, 'types').map((type, index) => parseOneOf(type, `types[${index}]`, namespaceTypes));
  const types: readonly NamespaceType[] = host().privileged || list.includes('user') ? list : ['user', ...list];
  const spec = parseSandboxOptions({ ...options, preset: 'none', proc: 'off' });
  // No program runs in it, so what a sandbox must not share with the host does not matter here.
  const isNew = (type: NamespaceType) => types.includes(type) || (type === 'time' && spec.namespaces.time);
  const chosen = Object.fromEntries(namespaceTypes.map((type) => [type, isNew(type)])) as Record<NamespaceType, boolean>;
  const { resident, opened } = await openResident({ ...spec, mounts: [], namespaces: { ...chosen, joined: {} } }, signal);
  const fds = types.map((type) => [type, dup(opened.namespaces[type])] as const);
  // A pid namespace whose first process has ended takes no other; everything else lives by its descriptors.
  if (types.includes('pid')) return { fds, held: { [Symbol.asyncDispose]: () => resident.close() } };
  await resident.close();
  return { fds };
}
