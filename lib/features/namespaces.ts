import { OptionError } from '../errors';
import { parseBoolean, parseObject } from '../parse';
import { noSlot, type PlanWriter } from '../plan/writer';
import { feature, type Step } from './feature';
import { isNetBeside } from './network';

/** The eight namespace types of namespaces(7), as /proc/<pid>/ns names them. */
export const namespaceTypes = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'time'] as const;
export type NamespaceType = (typeof namespaceTypes)[number];

export interface NamespacesOptions {
  /**
   * Which namespaces are new (`true`) and which are the host's (`false` or `'host'`), namespaces(7).
   * Default: all new but `time`. Sharing `user` needs root; sharing `mnt` needs `root: 'host'` and no mounts.
   * Sharing `pid` gives up what holds a sandbox together: run by a user, the program can signal every process of that
   * user, the launcher included, and so outlive its sandbox.
   */
  readonly namespaces?: { readonly [T in NamespaceType]?: boolean | 'host' };
}

export type NamespacesSpec = Readonly<Record<NamespaceType, boolean>>;

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

// These two are entered by init itself: its own cgroup must be the root of the view (cgroup_namespaces(7)), and
// time offsets can only be written before a process is in the namespace (time_namespaces(7)).
const byInit: readonly NamespaceType[] = ['cgroup', 'time'];

export const namespaces = feature({
  key: 'namespaces',
  parse(value = {}, at): NamespacesSpec {
    const given = parseObject(value, at, namespaceTypes);
    const isNew = (type: NamespaceType) => {
      const chosen = given[type];
      if (chosen === undefined) return type !== 'time';
      return chosen === 'host' ? false : parseBoolean(chosen, `${at}.${type}`);
    };
    return Object.fromEntries(namespaceTypes.map((type) => [type, isNew(type)])) as Record<NamespaceType, boolean>;
  },
  emit(plan, spec, scene) {
    const { namespaces: chosen } = spec;
    const { host } = scene;
    if (!chosen.user && !host.privileged) throw new OptionError('namespaces.user', 'only root can share the user namespace of the host');
    const late = isNetBeside(spec, scene) ? [...byInit, 'net'] : byInit;
    const flags = namespaceTypes.filter((type) => chosen[type] && !late.includes(type)).map((type) => cloneFlags[type]);
    plan.op('maps', 'namespaces', 'Clone', sum(flags), plan.cgroup ?? noSlot);
    plan.op('inside', 'namespaces', 'Dumpable', 0);
    if (chosen.mnt) holdMounts(plan);
  },
});

// Taking a mount namespace down takes the kernel a fifth of a whole run. The keeper holds it until it has said that
// all else is gone, so nobody waits for that.
function holdMounts(plan: PlanWriter): void {
  const slot = plan.slot('namespaces');
  plan.op('maps', 'namespaces', 'OpenInit', slot, 'ns/mnt');
  plan.op('maps', 'namespaces', 'Hold', slot);
}

/** Entered by init after it has its place in the cgroup and its ids. */
export const lateNamespaces: Step = {
  emit(plan, { namespaces: chosen }) {
    const flags = byInit.filter((type) => chosen[type]).map((type) => cloneFlags[type]);
    if (flags.length > 0) plan.op('inside', 'namespaces', 'Unshare', sum(flags));
  },
};

function sum(flags: readonly number[]): number {
  return flags.reduce((all, flag) => all | flag, 0);
}
