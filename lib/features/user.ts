import { NsError, OptionError } from '../base/errors';
import { parseBoolean, parseInteger, parseObject } from '../base/parse';
import type { Host } from '../host/host';
import { noSlot } from '../plan/operation';
import type { PlanWriter } from '../plan/writer';
import type { Capability } from './capabilities';
import { type Context, type Feature, feature, type Step } from './feature';
import { contains, type IdMaps, type IdsOption, insideIds, mapText, outsideOf, parseIds, rangeMaps } from './id-map';
import { cloneFlags, isHostUser } from './namespaces';
import { refusedByFilter } from './nested-user-namespaces';
import { isBeside } from './network-kind';
import type { Spec } from './spec';

export interface UserOptions {
  /**
   * User and group ids of the program.
   * `uid` and `gid`, the ids inside, default to the caller's, or to 1000 when nsjs runs as root. On the host the
   * program runs as the caller, or, when nsjs runs as root, with an unprivileged id of its own from 1,900,000,000 on.
   * With `inner` (default true) the program runs in a second user namespace below the one that owns the mounts and the
   * network, so that none of them can be changed from inside (user_namespaces(7), Linux 3.8).
   * `ids` selects the ids that exist inside. `'one'` (default): only the program's own. `'range'`: 0 to 65535, for
   * package managers and servers that change users. When nsjs runs as root, they are 65,536 unprivileged host ids of
   * the sandbox's own, from 2,000,000,000 on; otherwise 0 is the caller, and the others are the ids that /etc/subuid
   * and /etc/subgid assign to it, mapped by newuidmap(1) and newgidmap(1). `'keep'`: the same, but the caller has its
   * own number inside. An object gives the maps themselves. With more than one id there is no inner namespace, `uid`
   * and `gid` default to 0 (with `'keep'` to the caller's), and capabilities over mounts and network are refused.
   */
  readonly user?: { readonly uid?: number; readonly gid?: number; readonly inner?: boolean; readonly ids?: IdsOption };
}

export interface UserSpec {
  readonly uid?: number;
  readonly gid?: number;
  readonly inner: boolean;
  readonly ids: IdsOption;
}

const maxId = 0xfffffffe;

// The type is explicit because the options that this feature reads refer to it in turn.
export const user: Feature<'user', UserSpec> = feature({
  key: 'user',
  parse(value = {}, at): UserSpec {
    const { uid, gid, inner, ids } = parseObject(value, at, ['uid', 'gid', 'inner', 'ids']);
    const parsed = parseIds(ids, `${at}.ids`);
    if (parsed !== 'one' && inner === true) throw new OptionError(`${at}.inner`, 'supports only one id: leave it out if `ids` is given');
    return {
      ...(uid === undefined ? {} : { uid: parseInteger(uid, `${at}.uid`, 0, maxId) }),
      ...(gid === undefined ? {} : { gid: parseInteger(gid, `${at}.gid`, 0, maxId) }),
      inner: inner === undefined ? parsed === 'one' : parseBoolean(inner, `${at}.inner`),
      ids: parsed,
    };
  },
  emit(plan, spec, { host, hostId, lockFd, ownerFd }) {
    if (lockFd !== undefined) plan.op('host', 'user', 'Hold', plan.passVarying('lock', 'user', lockFd));
    if (spec.namespaces.joined.user !== undefined) becomeRoot(plan, hostId !== undefined);
    if (isHostUser(spec) && hostId === undefined && (spec.user.uid ?? spec.user.gid) !== undefined)
      throw new OptionError('user', 'uid and gid cannot be set in the user namespace of the host: leave namespaces.user out');
    if (!spec.namespaces.user) {
      if (spec.user.ids !== 'one') throw new OptionError('user.ids', 'needs a new user namespace: leave namespaces.user out');
      return;
    }
    const { uid, gid } = insideIds(spec.user, host);
    if (spec.user.ids === 'one') {
      // Inside a user namespace that nsjs has created, the creator has id 0.
      const outside = ownerFd === undefined ? { uid: hostId ?? host.uid, gid: hostId ?? host.gid } : { uid: 0, gid: 0 };
      const outer = spec.user.inner ? { uid: 0, gid: 0 } : { uid, gid };
      // Without CAP_SETGID in the parent namespace, gid_map can only be written after setgroups(2) is denied (Linux
      // 3.19).
      if (hostId === undefined) plan.op('maps', 'user', 'WriteInit', 'setgroups', 'deny');
      plan.marked('host-id', () => {
        plan.op('maps', 'user', 'WriteInit', 'uid_map', `${outer.uid} ${outside.uid} 1`);
        plan.op('maps', 'user', 'WriteInit', 'gid_map', `${outer.gid} ${outside.gid} 1`);
      });
      if (hostId !== undefined) plan.op('inside', 'user', 'SetGroups', new Uint8Array());
      plan.op('inside', 'user', 'SetIds', outer.uid, outer.gid);
    } else {
      const maps = rangeMaps(spec.user.ids, host, hostId);
      checkRange(spec, maps, { uid, gid });
      emitMaps(plan, maps, host, hostId);
      becomeRoot(plan, true);
    }
  },
});

// In the user namespace of the ids, these capabilities would reach the sandbox's own mounts, network and launcher.
const tooMuch: readonly Capability[] = ['CAP_SYS_ADMIN', 'CAP_NET_ADMIN', 'CAP_SYS_PTRACE', 'CAP_SYS_RESOURCE', 'CAP_SYS_MODULE'];

function checkRange({ capabilities }: Spec, { uids, gids }: IdMaps, { uid, gid }: { uid: number; gid: number }): void {
  if (!contains(uids, uid)) throw new OptionError('user.uid', `${uid} is not among the ids that user.ids maps`);
  if (!contains(gids, gid)) throw new OptionError('user.gid', `${gid} is not among the ids that user.ids maps`);
  const found = tooMuch.find((name) => Object.values(capabilities).some((set) => set.includes(name)));
  if (found)
    throw new OptionError(
      'capabilities',
      `with more than one id in user.ids, ${found} would give access to what confines the sandbox: leave one of the two out`,
    );
}

function emitMaps(plan: PlanWriter, { uids, gids }: IdMaps, { idMapHelpers: helpers }: Host, hostId: number | undefined): void {
  if (hostId !== undefined) {
    plan.marked('host-id', () => {
      plan.op('maps', 'user.ids', 'WriteInit', 'uid_map', mapText(uids));
      plan.op('maps', 'user.ids', 'WriteInit', 'gid_map', mapText(gids));
    });
    return;
  }
  for (const [map, helper] of [
    [uids, helpers.uid],
    [gids, helpers.gid],
  ] as const) {
    if (!helper)
      throw new NsError('ERR_NSJS_UNSUPPORTED', 'user.ids: newuidmap and newgidmap are not installed', { hint: "install Debian's uidmap" });
    const numbers = map.flatMap(({ inside, outside, count }) => [inside, outside, count]);
    plan.op('maps', 'user.ids', 'MapBy', helper, numbers.map((number) => `${number}\0`).join(''));
  }
}

/** Returns the program's ids on the host. */
export function outsideIds(
  { user, namespaces }: Spec,
  { host, hostId }: Pick<Context, 'host' | 'hostId'>,
): { readonly uid: number; readonly gid: number } {
  const own = { uid: hostId ?? host.uid, gid: hostId ?? host.gid };
  if (user.ids === 'one' || !namespaces.user) return own;
  const inside = insideIds(user, host);
  const maps = rangeMaps(user.ids, host, hostId);
  return { uid: outsideOf(maps.uids, inside.uid) ?? own.uid, gid: outsideOf(maps.gids, inside.gid) ?? own.gid };
}

const innerKey = 'inner user namespace';

/**
 * Creates the user namespace of programs that start later or in a joined user namespace. Init holds it; each program
 * enters it, and none can create another. The limit is set in a further namespace between it and the one that owns the
 * mounts and the network, so that the latter can still be shared with other sandboxes.
 */
export const innerUser: Step = {
  emit(plan, spec, context) {
    const { host, kind } = context;
    if (kind === 'program' || isBeside(spec, context) || !hasInner(spec)) return;
    const { uid, gid } = insideIds(spec.user, host);
    const slot = plan.shared(innerKey, () => plan.slot('user'));
    const make = (lock: 0 | 1, origin: string) => plan.op('inside', origin, 'LockedUserNs', slot, `${uid} 0 1`, `${gid} 0 1`, lock);
    // By default both the limit and the filter refuse nested user namespaces. If the filter does, the limit is
    // optional.
    const isFiltered = refusedByFilter(spec);
    if (!spec.nestedUserNamespaces && isFiltered) plan.optional('inside', () => make(1, 'nestedUserNamespaces'));
    make(spec.nestedUserNamespaces || isFiltered ? 0 : 1, 'user');
    plan.op('inside', 'user', 'Hold', slot);
  },
};

/** Enters the program's own user namespace. For a one-shot run it is created here. */
export const programUser: Step = {
  scope: 'program',
  emit(plan, spec, context) {
    const { host } = context;
    if (!hasInner(spec)) return;
    const { uid, gid } = insideIds(spec.user, host);
    if (isBeside(spec, context)) plan.op('program', 'user', 'InnerUserNs', `${uid} 0 1`, `${gid} 0 1`);
    else plan.op('program', 'user', 'SetNs', plan.known(innerKey) ?? noSlot, cloneFlags.user);
  },
};

const hasInner = ({ namespaces, user }: Spec): boolean => (namespaces.user || namespaces.joined.user !== undefined) && user.inner;

// Makes init id 0 of its user namespace.
function becomeRoot(plan: PlanWriter, privileged: boolean): void {
  if (privileged) plan.op('inside', 'user', 'SetGroups', new Uint8Array());
  plan.op('inside', 'user', 'SetIds', 0, 0);
}

/**
 * Makes init die with the keeper. Follows every change of credentials, which clears the signal
 * (PR_SET_PDEATHSIG(2const)).
 */
export const deathSignal: Step = {
  scope: 'both',
  emit(plan, spec, { kind }) {
    // Without a pid namespace init must live long enough to kill its descendants. It watches the keeper's pipe instead.
    if (spec.namespaces.pid) {
      if (kind !== 'program') plan.op('inside', 'namespaces', 'DeathSignal');
    } else if (kind !== 'sandbox') plan.op('program', 'namespaces', 'DeathSignal');
  },
};

declare module './spec' {
  interface Spec {
    readonly user: ReturnType<(typeof user)['parse']>;
  }
}
