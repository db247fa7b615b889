import { randomBytes } from 'node:crypto';
import { errnos } from '../../base/errnos';
import { NsError, SysError } from '../../base/errors';
import type { Cidr } from '../../base/ip';
import { normalName } from '../../features/egress-rules';
import type { InterfaceSpec } from '../../features/interfaces';
import { host } from '../../host/host';
import { type AddressFact, decodeAddress, decodeLink, type LinkFact } from '../../netlink/decode';
import { changeLink, createMacvlan, createVeth, deleteLink, getLink, setLinkUp } from '../../netlink/link';
import { addAddress, addRoute, dumpAddresses } from '../../netlink/route';
import { inNamespace, type SocketNamespaces } from '../../sys/in-namespace';
import { NetlinkSocket } from '../../sys/netlink-socket';

const nameBytes = 5;
const everything = (isSix: boolean): Cidr => ({ address: isSix ? '::' : '0.0.0.0', prefix: 0 });

/** Returns a random name for an interface, which no other interface has. 15 bytes at most. */
export const freshName = (prefix: string): string => `${prefix}${randomBytes(nameBytes).toString('hex')}`;

/** Returns an interface by name. Throws SysError ENODEV. */
export function linkOf(route: NetlinkSocket, name: string, origin?: string): LinkFact {
  try {
    const [found] = route.get(getLink(name)).flatMap((message) => decodeLink(message) ?? []);
    if (found) return found;
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new SysError({ errno: -error.errno, syscall: 'netlink', origin, path: name });
  }
  throw new SysError({ errno: errnos.ENODEV, syscall: 'netlink', origin, path: name });
}

/** The connection of an interface to its network, with the values for the end inside that the options do not set. */
export interface Socketed {
  readonly addresses: readonly Cidr[];
  readonly gateways: readonly string[];
  readonly mtu?: number;
  readonly resolvers: readonly string[];
  /** Must be called when the end inside is gone, or if it was not created. */
  release(): void;
}

/** Attaches interfaces to a {@link Network}. */
export interface Plug {
  /** Creates the veth pair with one end in the namespace. Throws SysError, NsError. */
  wire(end: WireEnd): Socketed;
}

export interface WireEnd {
  readonly netFd: number;
  readonly name: string;
  readonly mtu?: number;
  readonly mac?: string;
  readonly alias?: string;
  /** Requested addresses. If empty, free addresses are assigned. */
  readonly addresses: readonly Cidr[];
  readonly origin: string;
}

/** Creates one interface in the namespace and sets it up. `route`: netlink socket of the namespace. */
export function addInterface(spec: InterfaceSpec, where: SocketNamespaces, route: NetlinkSocket, alias: string | undefined): Socketed {
  const made = make(spec, where, alias);
  try {
    configure(spec, made, where, route);
  } catch (error) {
    if (spec.kind !== 'device') remove(route, spec.name);
    made.release();
    throw error;
  }
  return made;
}

// An open sandbox must not keep an interface that could not be set up.
function remove(route: NetlinkSocket, name: string): void {
  try {
    route.request(deleteLink(linkOf(route, name).index));
  } catch {
    // The first error is the one to report.
  }
}

function make(spec: InterfaceSpec, { netFd }: SocketNamespaces, alias: string | undefined): Socketed {
  const { at, name, mtu, mac } = spec;
  const settings = { name, netNsFd: netFd, ...(mtu === undefined ? {} : { mtu }), ...(mac === undefined ? {} : { mac }) };
  if (spec.network) {
    const plug = spec.network() as Plug;
    const own = spec.alias ?? (alias === undefined ? undefined : normalName(alias));
    const { addresses } = spec;
    return plug.wire({ ...settings, netFd, addresses, origin: at, ...(own === undefined ? {} : { alias: own }) });
  }
  if (!host().privileged)
    throw new NsError('ERR_NSJS_UNSUPPORTED', `${at}: only root can create an interface in the host's network namespace`, {
      hint: 'as a user, connect sandboxes with a Network, or use network: {egress}',
    });
  const outside = NetlinkSocket.open('route');
  try {
    if (spec.kind === 'veth') wireToHost(outside, spec, settings);
    else if (spec.kind === 'macvlan')
      outside.request(createMacvlan(linkOf(outside, spec.parent ?? '', `${at}.parent`).index, spec.mode ?? 'bridge', settings), at);
    else return moveIn(outside, spec, settings);
    return { addresses: spec.addresses, gateways: spec.gateways, resolvers: [], release: () => {} };
  } finally {
    outside.close();
  }
}

interface Settings {
  readonly name: string;
  readonly netNsFd: number;
  readonly mtu?: number;
  readonly mac?: string;
}

function wireToHost(outside: NetlinkSocket, { at, hostName, hostAddresses, mtu }: InterfaceSpec, settings: Settings): void {
  const name = hostName ?? freshName('nsjs-');
  outside.request(createVeth({ name, ...(mtu === undefined ? {} : { mtu }) }, settings), at);
  const { index } = linkOf(outside, name, at);
  for (const address of hostAddresses) outside.request(addAddress(index, address), `${at}.hostAddresses`);
  outside.request(setLinkUp(index), at);
}

// The device keeps its own addresses unless others are given, as the OCI runtime spec defines for network devices.
function moveIn(outside: NetlinkSocket, { at, parent = '', addresses, gateways }: InterfaceSpec, settings: Settings): Socketed {
  const { index } = linkOf(outside, parent, at);
  const own = outside.get(dumpAddresses()).flatMap((message) => decodeAddress(message) ?? []);
  const kept = own.filter((fact) => isLasting(fact, index)).map(({ address, prefix }) => ({ address, prefix }));
  outside.request(setLinkUp(index, false), at);
  outside.request(changeLink(index, settings), at);
  return { addresses: addresses.length > 0 ? addresses : kept, gateways, resolvers: [], release: () => {} };
}

const isLasting = (fact: AddressFact, index: number): boolean => fact.index === index && fact.permanent && fact.scope === 'global';

function configure({ at, name, routes, gateways }: InterfaceSpec, made: Socketed, where: SocketNamespaces, route: NetlinkSocket): void {
  const { index } = linkOf(route, name, at);
  if (made.addresses.some(({ address }) => address.includes(':'))) {
    // An interface that is created later than its namespace starts without IPv6.
    const path = `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`;
    inNamespace(where, [{ kind: 'write', path, text: '0', optional: true }]);
  }
  for (const address of made.addresses) route.request(addAddress(index, address), `${at}.addresses`);
  route.request(setLinkUp(index), at);
  for (const gateway of gateways.length > 0 ? gateways : made.gateways)
    route.request(addRoute({ destination: everything(gateway.includes(':')), gateway, output: index }), `${at}.gateways`);
  for (const { to, via } of routes)
    route.request(addRoute({ destination: to, output: index, ...(via === undefined ? {} : { gateway: via }) }), `${at}.routes`);
}
