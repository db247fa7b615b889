import { SysError } from '../../base/errors';
import { bare } from '../../base/parse';
import { type NetworkBounds, uplinkBounds } from '../../features/network-bounds';
import { host } from '../../host/host';
import { native } from '../../native/addon';
import { setLinkUp } from '../../netlink/link';
import { close } from '../../sys/file';
import { inNamespace, type NamespaceRequest } from '../../sys/in-namespace';
import { NetlinkSocket } from '../../sys/netlink-socket';
import { socketRequest } from '../../sys/socket';

const loopback = 1;
const readOnly = 0;

/** A network namespace that this process created, with its loopback interface up. */
export interface MadeNamespace {
  readonly netFd: number;
  /** The user namespace that owns it, if this process has no rights over it otherwise. The caller must not close it. */
  readonly userFd?: number;
  /** Netlink socket of that namespace. The caller must close it. */
  readonly route: NetlinkSocket;
  /** Descriptors of the additional requests. The caller must close them. */
  readonly made: readonly number[];
}

/**
 * The user namespace that owns all network namespaces of this process. A common owner allows veth pairs between them.
 */
let owner: { readonly fd: number; users: number } | undefined;

/** Removes one user of the owner. Without users, the owner is closed. */
export function releaseOwner(): void {
  if (!owner || --owner.users > 0) return;
  native().dropFd(owner.fd);
  owner = undefined;
}

const write = (path: string, text: string, optional = false): NamespaceRequest => ({ kind: 'write', path, text, optional });
const open = (path: string): NamespaceRequest => ({ kind: 'open', path, flags: readOnly });

// Maps a single id: this process's own id becomes root there, as with unshare(1) --map-root-user.
const idMaps = (): readonly NamespaceRequest[] => [
  write('/proc/self/setgroups', 'deny'),
  write('/proc/self/uid_map', `0 ${process.geteuid?.()} 1`),
  write('/proc/self/gid_map', `0 ${process.getegid?.()} 1`),
];

const bound = (bounds: NetworkBounds): readonly NamespaceRequest[] => bounds.map(([path, text]) => write(`/proc/sys/${path}`, text, true));

// Programs have no rights in this namespace, so low ports need no privileges. Router advertisements are ignored, so
// that no neighbour can configure an interface.
const settings = (isSix: boolean, bounds: NetworkBounds): readonly NamespaceRequest[] => [
  ...bound(bounds),
  write('/proc/sys/net/ipv4/ip_unprivileged_port_start', '0', true),
  write('/proc/sys/net/ipv6/conf/default/accept_ra', '0', true),
  write('/proc/sys/net/ipv6/conf/default/disable_ipv6', isSix ? '0' : '1', true),
];

/**
 * Creates a network namespace. Blocks this thread for about 0.8 ms. `isSix`: interfaces that are created later have
 * IPv6. `more`: additional requests, executed in the same step. As a user, the namespace is owned by a user namespace
 * that all of them share, and the caller must finally call {@link releaseOwner}. Throws SysError: EPERM, ENOSPC if user
 * namespaces are forbidden.
 */
export function makeNetNamespace(
  isSix: boolean,
  more: readonly NamespaceRequest[] = [],
  bounds: NetworkBounds = uplinkBounds,
): MadeNamespace {
  const set = settings(isSix, bounds);
  const common = [...set, open('/proc/self/ns/net'), socketRequest({ type: 'netlink' }), ...more];
  const fds = host().privileged ? inNamespace({ fresh: 'net' }, common) : makeOwned(common);
  const [netFd = -1, routeFd = -1, ...made] = fds.slice(set.length);
  const route = new NetlinkSocket(routeFd);
  try {
    route.request(setLinkUp(loopback), 'network');
  } catch (error) {
    route.close();
    for (const fd of [netFd, ...made]) if (fd >= 0) close(fd);
    releaseOwner();
    throw error;
  }
  return bare({ netFd, route, made, ...(owner && !host().privileged ? { userFd: owner.fd } : {}) });
}

function makeOwned(common: readonly NamespaceRequest[]): readonly number[] {
  if (owner) {
    const fds = inNamespace({ userFd: owner.fd, fresh: 'net' }, common);
    owner.users++;
    return fds;
  }
  try {
    const maps = idMaps();
    const [fd = -1, ...rest] = inNamespace({ fresh: 'user' }, [...maps, open('/proc/self/ns/user'), ...common]).slice(maps.length);
    native().keepFd(fd);
    owner = { fd, users: 1 };
    return rest;
  } catch (error) {
    if (!(error instanceof SysError) || error.syscall !== 'clone') throw error;
    throw new SysError({
      errno: -error.errno,
      syscall: error.syscall,
      origin: 'network',
      hint: 'without root, a network namespace needs a user namespace, which this host denies: see `nsjs probe`',
    });
  }
}
