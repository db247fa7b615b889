import { randomBytes } from 'node:crypto';
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

/** A name for an interface that nobody has: 15 bytes at most. */
export const freshName = (prefix: string): string => `${prefix}${randomBytes(nameBytes).toString('hex')}`;

/** An interface by its name. Throws SysError ENODEV. */
export function linkOf(route: NetlinkSocket, name: string, origin?: string): LinkFact {
  try {
    const [found] = route.get(getLink(name)).flatMap((message) => decodeLink(message) ?? []);
    if (found) return found;
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new SysError({ errno: -error.errno, syscall: 'netlink', origin, path: name });
  }
  throw new SysError({ errno: 19, syscall: 'netlink', origin, path: name });
}

/** The other end of a wire: what it gives the end inside that has none of its own. */
export interface Socketed {
  readonly addresses: readonly Cidr[];
  readonly gateways: readonly string[];
  readonly mtu?: number;
  readonly resolvers: readonly string[];
  /** The end inside is gone, or was never made. */
  release(): void;
}

/** What a {@link Network} does for those who plug in. */
export interface Plug {
  /** Makes the wire, with the end inside in the namespace. Throws SysError, NsError. */
  wire(end: WireEnd): Socketed;
}

export interface WireEnd {
  readonly netFd: number;
  readonly name: string;
  readonly mtu?: number;
  readonly mac?: string;
  readonly alias?: string;
  /** Those that are wanted; none: what is free. */
  readonly addresses: readonly Cidr[];
  readonly origin: string;
}

/** Makes one interface inside, and sets it up. `route`: of the namespace. */
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

// A sandbox that is open keeps nothing of what it could not have.
function remove(route: NetlinkSocket, name: string): void {
  try {
    route.request(deleteLink(linkOf(route, name).index));
  } catch {
    // The error that is told is the first.
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
    throw new NsError('ERR_NSJS_UNSUPPORTED', `${at}: only root can give the host an end of it`, {
      hint: 'as a user connect sandboxes by a Network, or use network: {egress}',
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

// What it has of its own goes with it, as the OCI runtime spec has it for network devices.
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
    // What is made later than its namespace begins without IPv6.
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
