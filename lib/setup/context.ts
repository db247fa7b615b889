import { closeSync, fstatSync, statSync } from 'node:fs';
import { NsError, OptionError } from '../base/errors';
import { bare } from '../base/parse';
import { privilegesDropped } from '../features/capabilities';
import { countsDropped } from '../features/counts';
import type { Context, Program } from '../features/feature';
import { outsideOf, rangeSize } from '../features/id-map';
import { landlockDropped } from '../features/landlock';
import type { NetworkSpec } from '../features/network';
import { isSetUp } from '../features/network-kind';
import { procDropped } from '../features/root/proc';
import type { Spec } from '../features/spec';
import { host, looked } from '../host/host';
import { usrMasks } from '../host/usr-masks';
import { native } from '../native/addon';
import type { LiveNetwork } from '../network/setup/sandbox-network';
import { close } from '../sys/file';
import { nsOwnerUid, nsParent, nsUserns } from '../sys/namespace';
import { chooseGroups, type GroupsKind } from './choose-cgroup';
import { firstHostId, takeHostId } from './host-id';
import { pinnedPaths } from './shared-pins';
import { takeSpareNet, wantsSpareNet } from './spare-network';

/**
 * Gathers the state of the machine that one sandbox needs. `release` frees the resources that this process holds for
 * it.
 */
export function openContext(
  spec: Spec,
  program: Program,
  wanted: GroupsKind,
  sharedRoot: Context['sharedRoot'],
): Context & { readonly network?: LiveNetwork; release(): void } {
  const machine = looked();
  const { dropped: groupsDropped, ...groups } = chooseGroups(spec, wanted);
  const kind = wanted === 'run' ? 'run' : 'sandbox';
  const dropped = [
    ...groupsDropped,
    ...landlockDropped(spec, machine, bare({ kind, ...(wanted === 'parked' ? ({ parked: true } as const) : {}) })),
  ];
  if (machine.privileged && spec.namespaces.joined.user !== undefined) refuseForeign(spec.namespaces.joined.user);
  const ownerFd = machine.privileged ? undefined : openOwner(spec);
  const hostCount = spec.user.ids === 'range' ? rangeSize : 1;
  const hostId = machine.privileged ? chooseHostId(spec) : undefined;
  const spareNet = wanted !== 'sandbox' && wantsSpareNet(spec) ? takeSpareNet() : undefined;
  // The network is opened last, because no later step can fail.
  const network = isSetUp(spec.network) ? openNetwork(spec, spec.network, [hostId?.fd, ownerFd]) : undefined;
  return bare({
    host: machine,
    ...groups,
    dropped: [
      ...dropped,
      ...countsDropped(spec, machine.counts, machine.privileged),
      ...privilegesDropped(spec, hostId?.id),
      ...procDropped(spec, machine.privileged),
    ],
    program,
    kind,
    ...(wanted === 'parked' ? { parked: true } : {}),
    ...(spec.mounts.length > 0 || spec.root === 'host' ? { pinned: pinnedPaths() } : {}),
    hidden: usrMasks(),
    emptyMounts: machine.privileged && canStartEmpty(),
    ...(sharedRoot ? { sharedRoot } : {}),
    ...(hostId ? { hostId: hostId.id, hostIds: hostCount, ...(hostId.fd === undefined ? {} : { lockFd: hostId.fd }) } : {}),
    ...(spareNet === undefined ? {} : { spareNet }),
    ...ownerOf(network, ownerFd, machine.privileged),
    ...(network ? { network } : {}),
    release: () => {
      if (hostId?.fd !== undefined) closeSync(hostId.fd);
      if (ownerFd !== undefined) closeSync(ownerFd);
      if (spareNet !== undefined) close(spareNet);
      network?.handOver();
    },
  });
}

// Determined once per thread: the result stays valid as long as this process may mount.
let canStart: boolean | undefined;
const canStartEmpty = (): boolean => {
  canStart ??= native().emptyMounts() === 0;
  return canStart;
};

// If a network was set up, the user namespace that owns it gives the rights to enter it.
function ownerOf(network: LiveNetwork | undefined, ownerFd: number | undefined, privileged: boolean): Pick<Context, 'ownerFd'> {
  const fd = network && !privileged ? network.where.userFd : ownerFd;
  return fd === undefined ? {} : { ownerFd: fd };
}

function openNetwork(
  { user: { ids }, namespaces: { joined }, hostname }: Spec,
  setup: NetworkSpec,
  held: readonly (number | undefined)[],
): LiveNetwork {
  try {
    if (Object.keys(joined).length > 0)
      throw new OptionError(
        'network',
        'a network that is set up cannot be combined with existing namespaces; share the network of the other sandbox instead',
      );
    if (ids !== 'one' && !host().privileged)
      throw new OptionError('user.ids', 'must be one id where an unprivileged user sets up a network');
    // Loaded on first use: modules for HTTP servers and threads take a third of the time of importing nsjs.
    const live = require('../network/setup/sandbox-network') as typeof import('../network/setup/sandbox-network');
    return new live.LiveNetwork(setup, hostname);
  } catch (error) {
    for (const fd of held) if (fd !== undefined) closeSync(fd);
    throw error;
  }
}

// With id maps of the caller, the host id is the one that 0 inside maps to. Only the caller can ensure that nothing
// else uses it.
function chooseHostId({ user: { ids }, stateDir }: Spec): { readonly id: number; readonly fd?: number } {
  if (typeof ids !== 'object') return takeHostId(ids === 'range' ? rangeSize : 1, stateDir);
  const [uid = 0, gid] = [outsideOf(ids.uids, 0), outsideOf(ids.gids, 0)];
  if (uid !== gid) throw new OptionError('user.ids.gids', `0 must map to the same outside id as in uids, ${uid}`);
  return { id: uid };
}

// The owner of a user namespace, or of one of its ancestors, has every capability over processes that root would start
// there, including init and its helpers.
function refuseForeign(user: number): void {
  const own = statSync('/proc/self/ns/user').ino;
  let opened: number | undefined;
  try {
    for (let fd = user; fstatSync(fd).ino !== own; ) {
      const uid = nsOwnerUid(fd);
      // An id of nsjs's own is accepted: on the host only sandboxes have such ids, and each is in a namespace of its
      // own.
      if (uid !== 0 && uid < firstHostId)
        throw new NsError(
          'ERR_NSJS_UNSUPPORTED',
          `namespaces.user: the namespace belongs to uid ${uid}, who could access processes that root starts in it`,
          {
            hint: 'run as that user, or share a user namespace that root has created',
          },
        );
      const parent = nsParent(fd);
      if (opened !== undefined) closeSync(opened);
      opened = parent;
      fd = parent;
    }
  } finally {
    if (opened !== undefined) closeSync(opened);
  }
}

// An unprivileged user has rights over a namespace only inside the user namespace that owns it.
function openOwner({ namespaces: { joined } }: Spec): number | undefined {
  if (joined.user !== undefined) return undefined;
  const own = statSync('/proc/self/ns/user').ino;
  let owner: { readonly fd: number; readonly ino: number } | undefined;
  for (const [type, fd] of Object.entries(joined)) {
    const opened = nsUserns(fd);
    const { ino } = fstatSync(opened);
    if (ino === own || ino === owner?.ino) closeSync(opened);
    else if (owner === undefined) owner = { fd: opened, ino };
    else {
      for (const one of [opened, owner.fd]) closeSync(one);
      throw new OptionError(`namespaces.${type}`, 'is not owned by the same user namespace as the other namespaces');
    }
  }
  return owner?.fd;
}
