import { deepFreeze } from '../base/parse';
import { directoriesOf } from '../cgroup/layout';
import type { LimitsSpec } from '../cgroup/limits';
import type { Context, Dropped } from '../features/feature';
import { landlockFor } from '../features/landlock';
import { rightNames, scopeNames, scopes } from '../features/landlock-rights';
import { type NamespaceType, namespaceTypes } from '../features/namespaces';
import { isSetUp } from '../features/network-kind';
import { filterFor, notifyingFilter } from '../features/seccomp-filter';
import type { Spec } from '../features/spec';
import { outsideIds } from '../features/user';
import type { Outcome } from '../launcher/outcome';
import type { LaunchRecord } from '../launcher/record';
import { cgroupFacts, type KernelFacts, kernelFacts } from './kernel-facts';

/** The restrictions in force in a sandbox. */
export interface Report {
  /**
   * Inode numbers of the program's namespaces, as shown by `ls -l /proc/<pid>/ns`. Those in `shared` existed before the
   * sandbox.
   */
  readonly namespaces: Readonly<Record<NamespaceType, number>>;
  readonly shared: readonly NamespaceType[];
  /** The program's uid and gid on the host. */
  readonly hostId: { readonly uid: number; readonly gid: number };
  /** Supplementary groups of an unprivileged caller. The kernel does not let it drop them without newgidmap(1). */
  readonly groups: readonly number[];
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  /**
   * The seccomp filter: SHA-256 of its bytes, its length, and names in its profile that no architecture has. Undefined
   * without a filter.
   */
  readonly seccomp?: { readonly hash: string; readonly instructions: number; readonly unknown: readonly string[] };
  /**
   * The Landlock ruleset of the programs: the kernel's ABI, the rights that it handles, and rights by path. Undefined
   * without a ruleset.
   */
  readonly landlock?: {
    readonly abi: number;
    readonly fs: readonly string[];
    readonly tcp: readonly string[];
    readonly scopes: readonly string[];
    readonly paths: Readonly<Record<string, readonly string[]>>;
  };
  readonly limits: LimitsSpec;
  /** The network, if one was set up: name servers, and how outgoing connections are intercepted. */
  readonly network?: { readonly resolvers: readonly string[]; readonly via?: 'nftables' | 'ports' };
  /** Version of cgroups(7) and directories of the cgroups; undefined if limits are enforced per process. */
  readonly cgroup?: { readonly version: 1 | 2; readonly directories: readonly string[] };
  /** How pause() stops a long-lived sandbox: by a cgroup, or by SIGSTOP. */
  readonly freezer?: 'cgroup' | 'signal';
  /** Facts reported by the kernel, with the option `verify`. */
  readonly kernel?: KernelFacts;
  /** Controls that were preferred and could not be applied. */
  readonly dropped: readonly Dropped[];
}

export function makeReport(
  spec: Spec,
  context: Context,
  started: LaunchRecord,
  { dropped, facts }: Pick<Outcome, 'dropped' | 'facts'>,
): Report {
  const { host, hostId, cgroups, network } = context;
  const { notify } = context.program;
  const filter = spec.seccomp === 'off' ? undefined : notify ? notifyingFilter(spec, notify) : filterFor(spec);
  return Object.freeze({
    namespaces: started.namespaces,
    shared: namespaceTypes.filter((type) => !spec.namespaces[type] && !(type === 'net' && isSetUp(spec.network))),
    ...(network ? { network: { resolvers: network.resolvers, ...(network.via ? { via: network.via } : {}) } } : {}),
    hostId: outsideIds(spec, context),
    groups: hostId === undefined ? host.groups.filter((group) => group !== host.gid) : [],
    capabilities: spec.capabilities.permitted,
    noNewPrivileges: spec.noNewPrivileges,
    ...(filter ? { seccomp: { hash: filter.hash, instructions: filter.instructions, unknown: filter.unknown } } : {}),
    ...describeLandlock(spec, context),
    limits: spec.limits,
    ...(cgroups.version === undefined ? {} : { cgroup: { version: cgroups.version, directories: directoriesOf(cgroups.directories) } }),
    ...(context.kind === 'run' || context.parked ? {} : { freezer: context.freezer ? ('cgroup' as const) : ('signal' as const) }),
    ...(facts.isEmpty ? {} : { kernel: { ...kernelFacts(facts), ...cgroupFacts(cgroups) } }),
    dropped: [...context.dropped, ...dropped],
  });
}

const described = new WeakMap<Spec, Map<string, Pick<Report, 'landlock'>>>();

// Cached per spec, because the result only differs if the spec lists paths of the host.
function describeLandlock(spec: Spec, context: Context): Pick<Report, 'landlock'> {
  if (spec.landlock.paths) return readLandlock(spec, context);
  const kind = `${context.kind} ${context.parked ?? false}`;
  const ofSpec = described.get(spec) ?? new Map<string, Pick<Report, 'landlock'>>();
  described.set(spec, ofSpec);
  const found = ofSpec.get(kind) ?? deepFreeze(readLandlock(spec, context));
  ofSpec.set(kind, found);
  return found;
}

function readLandlock(spec: Spec, context: Context): Pick<Report, 'landlock'> {
  const ruleset = landlockFor(spec, context);
  if (!ruleset) return {};
  const { abi, fs, net, scoped, paths } = ruleset;
  return {
    landlock: {
      abi,
      fs: rightNames(fs),
      tcp: ['bind', 'connect'].filter((_, bit) => (net & (1 << bit)) !== 0),
      scopes: scopeNames.filter((name) => (scoped & scopes[name]) !== 0),
      paths: Object.fromEntries(paths.map(({ path, rights }) => [path, rightNames(rights)])),
    },
  };
}
