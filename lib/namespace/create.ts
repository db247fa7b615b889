import { OptionError } from '../base/errors';
import { parseArray, parseObject, parseOneOf, parseSignal } from '../base/parse';
import type { SandboxOptions } from '../features';
import { type NamespaceType, namespaceTypes } from '../features/namespaces';
import { host } from '../host/host';
import { parseProgramOptions } from '../options/options';
import { parseSandboxOptions } from '../options/spec';
import { handle } from '../run/isolated-process';
import type { IsolatedProcess, SpawnOptions } from '../run/types';
import { openRuntime } from '../runtime/open';
import { dup } from '../sys/file';

/** Settings of new namespaces. */
export interface CreateOptions extends Pick<SandboxOptions, 'hostname' | 'domainname' | 'time' | 'launcherPath'> {
  readonly signal?: AbortSignal;
}

/** A parked launcher, which keeps a pid namespace alive and can start programs in it. */
export interface Holder extends AsyncDisposable {
  spawn(command: string, args: readonly string[] | undefined, options: SpawnOptions): IsolatedProcess<string | Buffer>;
}

/** Descriptors of the new namespaces, and the holder that a pid namespace needs. */
export interface Made {
  readonly fds: readonly (readonly [type: NamespaceType, fd: number])[];
  readonly held?: Holder;
}

/** Creates namespaces in a launcher that starts no program. Rejects with a SysError, OptionError or AbortError. */
export async function createNamespaces(wanted: readonly NamespaceType[], given: CreateOptions): Promise<Made> {
  const { signal: abort, ...options } = parseObject(given, '', ['signal', 'hostname', 'domainname', 'time', 'launcherPath']);
  const signal = abort === undefined ? undefined : parseSignal(abort);
  const list = parseArray(wanted, 'types').map((type, index) => parseOneOf(type, `types[${index}]`, namespaceTypes));
  if (list.length === 0) throw new OptionError('types', 'must name at least one namespace type');
  if (new Set(list).size < list.length) throw new OptionError('types', 'must not contain the same type twice');
  const types: readonly NamespaceType[] = host().privileged || list.includes('user') ? list : ['user', ...list];
  const chosenOptions: SandboxOptions = {
    ...(options as SandboxOptions),
    root: 'host',
    proc: 'off',
    cgroup: 'off',
    user: types.includes('pid') ? {} : { uid: 0, gid: 0, inner: false },
  };
  const spec = parseSandboxOptions(chosenOptions);
  // No program runs in the launcher, so the checks of namespaces that a sandbox must not share with the host do not
  // apply.
  if (spec.time && !types.includes('time')) throw new OptionError('time', "requires 'time' in types");
  const isNew = (type: NamespaceType) => types.includes(type);
  const chosen = Object.fromEntries(namespaceTypes.map((type) => [type, isNew(type)])) as Record<NamespaceType, boolean>;
  const { runtime, opened } = await openRuntime({ ...spec, mounts: [], namespaces: { ...chosen, joined: {} } }, signal);
  const fds = types.map((type) => [type, dup(opened.namespaces[type])] as const);
  // A pid namespace accepts no new process after its init has exited. All others stay alive as long as a descriptor is
  // open.
  if (types.includes('pid')) {
    const held: Holder = {
      spawn: (command, args, runOptions) => {
        const parsed = parseProgramOptions({ options: chosenOptions, spec: runtime.spec }, command, args, runOptions);
        return handle(parsed, (ready, events) => runtime.spawn(ready, events));
      },
      [Symbol.asyncDispose]: () => runtime.close(),
    };
    return { fds, held };
  }
  await runtime.close();
  return { fds };
}
