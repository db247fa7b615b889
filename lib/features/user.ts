import { OptionError } from '../errors';
import type { Host } from '../host';
import { parseBoolean, parseInteger, parseObject } from '../parse';
import { noSlot, type PlanWriter } from '../plan/writer';
import { feature, type Step } from './feature';
import type { Spec } from './index';
import { cloneFlags, isHostUser } from './namespaces';
import { refusedByFilter } from './nested-user-namespaces';
import { isBeside } from './network';

export interface UserOptions {
  /**
   * Who the program is inside. `uid` and `gid` default to the caller's own, or to 1000 when nsjs runs as root. On the
   * host the program is the caller, or, when nsjs runs as root, an unprivileged id of its own from 1,900,000,000 on.
   * `inner` (default true) puts the program into a second user namespace below the one that owns the mounts and the
   * network, so that none of them can be changed from inside (user_namespaces(7), Linux 3.8).
   */
  readonly user?: { readonly uid?: number; readonly gid?: number; readonly inner?: boolean };
}

export interface UserSpec {
  readonly uid?: number;
  readonly gid?: number;
  readonly inner: boolean;
}

const maxId = 0xfffffffe;
// The overflow id stands for every id that is not mapped: a program that is 65534 would own the host's files.
const overflowId = 65534;
const fallbackId = 1000;
const inotifyLimit = '/proc/sys/user/max_inotify_instances';
const inotifyInstances = '32';

export const user = feature({
  key: 'user',
  parse(value = {}, at): UserSpec {
    const { uid, gid, inner } = parseObject(value, at, ['uid', 'gid', 'inner']);
    return {
      ...(uid === undefined ? {} : { uid: parseInteger(uid, `${at}.uid`, 0, maxId) }),
      ...(gid === undefined ? {} : { gid: parseInteger(gid, `${at}.gid`, 0, maxId) }),
      inner: inner === undefined ? true : parseBoolean(inner, `${at}.inner`),
    };
  },
  emit(plan, spec, { host, hostId, lockFd, ownerFd }) {
    if (lockFd !== undefined) plan.op('host', 'user', 'Hold', plan.pass('user', lockFd));
    if (spec.namespaces.joined.user !== undefined) becomeRoot(plan, hostId !== undefined);
    if (isHostUser(spec) && hostId === undefined && (spec.user.uid ?? spec.user.gid) !== undefined)
      throw new OptionError('user', 'another id needs a user namespace of its own');
    if (!spec.namespaces.user) return;
    const { uid, gid } = insideIds(spec.user, host);
    // In a user namespace that nsjs has made its maker is 0.
    const outside = ownerFd === undefined ? { uid: hostId ?? host.uid, gid: hostId ?? host.gid } : { uid: 0, gid: 0 };
    const outer = spec.user.inner ? { uid: 0, gid: 0 } : { uid, gid };
    // Without CAP_SETGID over the parent, gid_map can only be written once setgroups(2) is given up (Linux 3.19).
    if (hostId === undefined) plan.op('maps', 'user', 'WriteInit', 'setgroups', 'deny');
    plan.op('maps', 'user', 'WriteInit', 'uid_map', `${outer.uid} ${outside.uid} 1`);
    plan.op('maps', 'user', 'WriteInit', 'gid_map', `${outer.gid} ${outside.gid} 1`);
    if (hostId !== undefined) plan.op('inside', 'user', 'SetGroups', new Uint8Array());
    plan.op('inside', 'user', 'SetIds', outer.uid, outer.gid);
    // Counted per user of the host: without a limit of its own a sandbox could take all of its caller's.
    plan.optional('inside', () => plan.op('inside', 'user.inotify', 'WriteFile', noSlot, inotifyLimit, inotifyInstances));
  },
});

const innerKey = 'inner user namespace';

/**
 * The user namespace of programs that come later, or are in one that is shared, held by init: each enters it, none can make another. The limit lies
 * between it and the one that owns mounts and network, so that this one can still be shared with other sandboxes.
 */
export const innerUser: Step = {
  emit(plan, spec, scene) {
    const { host, kind } = scene;
    if (kind === 'program' || isBeside(spec, scene) || !hasInner(spec)) return;
    const { uid, gid } = insideIds(spec.user, host);
    const slot = plan.shared(innerKey, () => plan.slot('user'));
    const make = (lock: 0 | 1, origin: string) => plan.op('inside', origin, 'LockedUserNs', slot, `${uid} 0 1`, `${gid} 0 1`, lock);
    // Two walls by default; one may be missing if the other is sure.
    const isFiltered = refusedByFilter(spec);
    if (!spec.nestedUserNamespaces && isFiltered) plan.optional('inside', () => make(1, 'nestedUserNamespaces'));
    make(spec.nestedUserNamespaces || isFiltered ? 0 : 1, 'user');
    plan.op('inside', 'user', 'Hold', slot);
  },
};

/** The program's own user namespace: of a single program it is made here. */
export const programUser: Step = {
  scope: 'program',
  emit(plan, spec, scene) {
    const { host } = scene;
    if (!hasInner(spec)) return;
    const { uid, gid } = insideIds(spec.user, host);
    if (isBeside(spec, scene)) plan.op('program', 'user', 'InnerUserNs', `${uid} 0 1`, `${gid} 0 1`);
    else plan.op('program', 'user', 'SetNs', plan.known(innerKey) ?? noSlot, cloneFlags.user);
  },
};

const hasInner = ({ namespaces, user }: Spec): boolean => (namespaces.user || namespaces.joined.user !== undefined) && user.inner;

// In a user namespace that is shared.
function becomeRoot(plan: PlanWriter, privileged: boolean): void {
  if (privileged) plan.op('inside', 'user', 'SetGroups', new Uint8Array());
  plan.op('inside', 'user', 'SetIds', 0, 0);
}

/** Ids of the program as it sees them. */
export function insideIds(spec: UserSpec, host: Host): { readonly uid: number; readonly gid: number } {
  const own = (id: number) => (host.privileged || id === overflowId ? fallbackId : id);
  return { uid: spec.uid ?? own(host.uid), gid: spec.gid ?? own(host.gid) };
}

/** Init dies with the keeper; after every change of credentials, which clears the signal (PR_SET_PDEATHSIG(2const)). */
export const deathSignal: Step = {
  scope: 'both',
  emit(plan, spec, { kind }) {
    // Without a pid namespace init must live long enough to kill its descendants; it watches the keeper's pipe instead.
    if (spec.namespaces.pid) {
      if (kind !== 'program') plan.op('inside', 'namespaces', 'DeathSignal');
    } else if (kind !== 'sandbox') plan.op('program', 'namespaces', 'DeathSignal');
  },
};
