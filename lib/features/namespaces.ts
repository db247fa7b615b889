import { OptionError } from '../base/errors';
import { bare, parseBoolean, parseInteger, parseObject } from '../base/parse';
import { noSlot } from '../plan/operation';
import type { PlanWriter } from '../plan/writer';
import { type Context, type Feature, feature, type Step } from './feature';
import { isNetBeside } from './network-kind';
import type { Spec } from './spec';

/** The eight namespace types of namespaces(7), as /proc/<pid>/ns names them. */
export const namespaceTypes = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'time'] as const;
export type NamespaceType = (typeof namespaceTypes)[number];

/** An existing namespace: a {@link Namespace}, or any object with its type and an open descriptor of it. */
export interface NamespaceHandle {
  readonly type: NamespaceType;
  readonly fd: number;
}

export interface NamespacesOptions {
  /**
   * Namespaces of the program, namespaces(7): `true` for a new one, `false` or `'host'` for that of the host, or a
   * {@link Namespace} to join an existing one. Default: all are new except `time`, which is new only if the option
   * `time` is given. Sharing the host's `user` namespace needs root, or Landlock and no new namespace of any other
   * type. Sharing `mnt` needs `root: 'host'` and no mounts.
   * Sharing the host's `pid` namespace weakens a sandbox: when a user runs nsjs, the program can signal every process
   * of that user, including the launcher, and so outlive its sandbox. Another sandbox's `pid` namespace cannot be
   * joined: call spawn() of that sandbox instead.
   */
  readonly namespaces?: { readonly [T in NamespaceType]?: boolean | 'host' | NamespaceHandle };
}

/** For each type, whether it is new. `joined` holds the descriptors of the existing namespaces to join. */
export type NamespacesSpec = Readonly<Record<NamespaceType, boolean>> & {
  readonly joined: Readonly<Partial<Record<NamespaceType, number>>>;
};

/** Flags of clone(2) and unshare(2). */
export const cloneFlags: Readonly<Record<NamespaceType, number>> = {
  user: 0x10000000,
  mnt: 0x00020000,
  pid: 0x20000000,
  net: 0x40000000,
  ipc: 0x08000000,
  uts: 0x04000000,
  cgroup: 0x02000000,
  time: 0x00000080,
};

// Init enters these two itself. Its own cgroup must be the root of the view (cgroup_namespaces(7)), and time offsets
// can only be written before a process is in the namespace (time_namespaces(7)).
const byInit: readonly NamespaceType[] = ['cgroup', 'time'];

// The type is explicit because the options that this feature reads refer to it in turn.
export const namespaces: Feature<'namespaces', NamespacesSpec> = feature({
  key: 'namespaces',
  parse(value = {}, at): NamespacesSpec {
    const given = parseObject(value, at, namespaceTypes);
    const joined: Partial<Record<NamespaceType, number>> = {};
    const isNew = (type: NamespaceType) => {
      const chosen = given[type];
      if (chosen === undefined) return type !== 'time';
      if (typeof chosen !== 'object') return chosen === 'host' ? false : parseBoolean(chosen, `${at}.${type}`);
      joined[type] = parseHandle(chosen, type, `${at}.${type}`);
      return false;
    };
    const types = Object.fromEntries(namespaceTypes.map((type) => [type, isNew(type)])) as Record<NamespaceType, boolean>;
    return { ...types, joined };
  },
  emit(plan, spec, context) {
    const { namespaces: chosen } = spec;
    const { host } = context;
    if (isHostUser(spec) && !host.privileged) checkUnprivileged(spec);
    const late = isNetBeside(spec, context) || context.spareNet !== undefined ? [...byInit, 'net'] : byInit;
    const flags = namespaceTypes.filter((type) => chosen[type] && !late.includes(type)).map((type) => cloneFlags[type]);
    join(plan, spec, context);
    // The kernel also charges the creator of a user namespace for the resources of its processes (ucounts), so the
    // creator must not be root.
    if (chosen.user && context.hostId !== undefined) plan.marked('host-id', () => plan.op('maps', 'user', 'Owner', `${context.hostId}`));
    plan.marked('clone', () => plan.op('maps', 'namespaces', 'Clone', sum(flags), plan.cgroup ?? noSlot, noSlot, noSlot));
    plan.op('inside', 'namespaces', 'Dumpable', 0);
    // In a joined user namespace, root has no rights over init and could not open its mount namespace.
    if (chosen.mnt && chosen.joined.user === undefined) holdMounts(plan);
  },
});

/** Returns whether the program is in the user namespace of the host. */
export const isHostUser = ({ namespaces: { user, joined } }: Spec): boolean => !user && joined.user === undefined;

// A user without a user namespace has no rights over any other namespace. Only Landlock can confine its programs.
function checkUnprivileged({ namespaces: chosen, landlock }: Spec): void {
  const type = namespaceTypes.find((name) => chosen[name]);
  if (type === undefined && landlock.level !== 'off') return;
  const reason = type === undefined ? 'without the option landlock' : `together with a new ${type} namespace`;
  throw new OptionError('namespaces.user', `only root can share the user namespace of the host ${reason}`);
}

function parseHandle(value: object | null, type: NamespaceType, at: string): number {
  const { type: found, fd } = (value ?? {}) as Partial<NamespaceHandle>;
  if (typeof fd !== 'number') throw new OptionError(at, "expected true, false, 'host' or a Namespace", 'ERR_INVALID_ARG_TYPE');
  if (found !== type) throw new OptionError(at, `expected a namespace of type '${type}', received one of type '${found}'`);
  if (type === 'pid') throw new OptionError(at, 'cannot be joined: call spawn() of the sandbox that it belongs to instead');
  return parseInteger(fd, `${at}.fd`, 0, 2 ** 31 - 1);
}

/** Joins the existing namespaces. The user namespace comes first because it gives rights over the others (setns(2)). */
function join(plan: PlanWriter, { namespaces: { joined: given } }: Spec, { ownerFd, hostId, network, spareNet }: Context): void {
  if (spareNet !== undefined)
    plan.op('maps', 'namespaces.net', 'SetNs', plan.passVarying('net', 'namespaces.net', spareNet), cloneFlags.net);
  const joined = network ? bare({ ...given, net: network.netFd }) : given;
  const enter = (type: NamespaceType, fd: number) =>
    plan.op('maps', `namespaces.${type}`, 'SetNs', plan.pass(`namespaces.${type}`, fd), cloneFlags[type]);
  const user = joined.user ?? ownerFd;
  if (user !== undefined) {
    // Processes with rights in that namespace could trace the keeper there. Root's keeper must be non-dumpable before
    // it joins. For a user, those processes have no more rights than the keeper, and init's id maps can only be written
    // by a dumpable keeper.
    if (hostId !== undefined) plan.op('maps', 'namespaces.user', 'Dumpable', 0);
    enter('user', user);
    if (hostId === undefined) plan.op('maps', 'namespaces.user', 'Dumpable', 1);
  }
  for (const [type, fd] of Object.entries(joined) as [NamespaceType, number][]) if (type !== 'user') enter(type, fd);
}

// The kernel takes a fifth of the time of a whole run to tear down a mount namespace. The keeper holds it until it has
// reported that everything else is gone, so that nothing waits for that.
function holdMounts(plan: PlanWriter): void {
  const slot = plan.slot('namespaces');
  plan.op('maps', 'namespaces', 'OpenInit', slot, 'ns/mnt');
  plan.op('maps', 'namespaces', 'Hold', slot);
}

/** Unshares the namespaces that init enters itself, after it has joined its cgroup and has its ids. */
export const lateNamespaces: Step = {
  emit(plan, { namespaces: chosen }) {
    const flags = byInit.filter((type) => chosen[type]).map((type) => cloneFlags[type]);
    if (flags.length > 0) plan.op('inside', 'namespaces', 'Unshare', sum(flags));
  },
};

function sum(flags: readonly number[]): number {
  return flags.reduce((all, flag) => all | flag, 0);
}

declare module './spec' {
  interface Spec {
    readonly namespaces: ReturnType<(typeof namespaces)['parse']>;
  }
}
