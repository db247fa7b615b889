import { type Cidr, ipBytes, networkBytes } from '../base/ip';
import { bare } from '../base/parse';
import { attribute, type NetlinkMessage, netlinkFlags, u8, u16, u32 } from './message';

const { request, ack, create, exclusive, dump, replace } = netlinkFlags;

const types = {
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  newRule: 32,
  deleteRule: 33,
  getRule: 34,
} as const;

/** Routing tables, ip-route(8). */
export const routeTables = { default: 253, main: 254, local: 255 } as const;
/** Route types, ip-route(8). */
const routeTypes = { unicast: 1, local: 2, unreachable: 7, prohibit: 8 } as const;
const scopes = { universe: 0, link: 253, host: 254 } as const;
const bootProtocol = 3; // RTPROT_BOOT: made by hand
const ifa = { address: 1, local: 2, broadcast: 4, flags: 8 } as const;
const rta = { destination: 1, output: 4, gateway: 5, priority: 6, source: 7, metrics: 8, table: 15 } as const;
const rtaxMtu = 2;
const noDuplicateDetection = 0x2; // IFA_F_NODAD

const familyOf = (bytes: Uint8Array): number => (bytes.length === 4 ? 2 : 10);

const addressHead = (bytes: Uint8Array, prefix: number, flags: number, index: number) =>
  Buffer.concat([u8(familyOf(bytes)), u8(prefix), u8(flags), u8(scopes.universe), u32(index)]);

/**
 * Adds an address to an interface. An IPv6 address is usable immediately, without duplicate address detection: no other
 * host in a new namespace can have it.
 */
export function addAddress(index: number, { address, prefix }: Cidr): NetlinkMessage {
  const bytes = ipBytes(address);
  const flags = bytes.length === 16 ? noDuplicateDetection : 0;
  const payload = Buffer.concat([addressHead(bytes, prefix, flags, index), attribute(ifa.local, bytes), attribute(ifa.address, bytes)]);
  return { type: types.newAddress, flags: request | ack | create | exclusive, payload };
}

/** Removes an address from an interface. */
export function deleteAddress(index: number, { address, prefix }: Cidr): NetlinkMessage {
  const bytes = ipBytes(address);
  return {
    type: types.deleteAddress,
    flags: request | ack,
    payload: Buffer.concat([addressHead(bytes, prefix, 0, index), attribute(ifa.local, bytes), attribute(ifa.address, bytes)]),
  };
}

/** Requests every address of the namespace. */
export function dumpAddresses(): NetlinkMessage {
  return { type: types.getAddress, flags: request | dump, payload: Buffer.concat([u8(0), u8(0), u8(0), u8(0), u32(0)]) };
}

/** A route; the names of its parts are those of ip-route(8). */
export interface Route {
  /** Default: everything (`0.0.0.0/0`, or `::/0` with an IPv6 gateway). */
  readonly destination?: Cidr;
  readonly gateway?: string;
  /** Index of the interface. */
  readonly output?: number;
  /** Source address of packets. */
  readonly source?: string;
  /** Bytes. */
  readonly mtu?: number;
  readonly type?: keyof typeof routeTypes;
  readonly table?: number;
  /** Lower is preferred. */
  readonly metric?: number;
}

const noScope = 255; // RT_SCOPE_NOWHERE: any

function routePayload(route: Route, isGone = false): Buffer {
  const { destination, gateway, output, source, mtu, type = 'unicast', metric, table: given } = bare({ ...route });
  const bytes = destination && networkBytes(destination);
  const gatewayBytes = gateway === undefined ? undefined : ipBytes(gateway);
  const family = familyOf(bytes ?? gatewayBytes ?? new Uint8Array(4));
  const table = given ?? (type === 'local' ? routeTables.local : routeTables.main);
  const ownScope = type === 'local' ? scopes.host : type === 'unicast' && !gateway ? scopes.link : scopes.universe;
  const scope = isGone ? noScope : family === 2 ? ownScope : scopes.universe;
  const prefix = destination?.prefix ?? 0;
  const kind = isGone ? [0, scope, 0] : [bootProtocol, scope, routeTypes[type]];
  const head = [family, prefix, 0, 0, table > 255 ? 0 : table, ...kind].map(u8);
  return Buffer.concat([
    ...head,
    u32(0),
    ...(bytes || family === 10 ? [attribute(rta.destination, bytes ?? Buffer.alloc(16))] : []),
    ...(gatewayBytes ? [attribute(rta.gateway, gatewayBytes)] : []),
    ...(source === undefined ? [] : [attribute(rta.source, ipBytes(source))]),
    ...(table > 255 ? [attribute(rta.table, u32(table))] : []),
    ...(metric === undefined ? [] : [attribute(rta.priority, u32(metric))]),
    ...(output === undefined ? [] : [attribute(rta.output, u32(output))]),
    ...(mtu === undefined ? [] : [attribute(rta.metrics, attribute(rtaxMtu, u32(mtu)))]),
  ]);
}

/** Adds a route. */
export function addRoute(route: Route): NetlinkMessage {
  return { type: types.newRoute, flags: request | ack | create | exclusive, payload: routePayload(route) };
}

/** Adds a route, or replaces one to the same destination. */
export function replaceRoute(route: Route): NetlinkMessage {
  return { type: types.newRoute, flags: request | ack | create | replace, payload: routePayload(route) };
}

/** Removes a route. */
export function deleteRoute(route: Route): NetlinkMessage {
  return { type: types.deleteRoute, flags: request | ack, payload: routePayload(route, true) };
}

/** Requests every route of the namespace. */
export function dumpRoutes(family: 'inet' | 'inet6'): NetlinkMessage {
  const head = Buffer.alloc(12);
  head[0] = family === 'inet' ? 2 : 10;
  return { type: types.getRoute, flags: request | dump, payload: head };
}

const fra = { destination: 1, priority: 6, table: 15, protocol: 22, destinationPorts: 24 } as const;
const ruleActions = { lookup: 1, unreachable: 7, prohibit: 8 } as const;

/** A rule that selects a routing table or refuses packets, ip-rule(8). */
export interface RoutingRule {
  readonly family: 'inet' | 'inet6';
  readonly destination?: Cidr;
  /** 6 for TCP, 17 for UDP. Linux 4.17. */
  readonly protocol?: number;
  /** First and last destination port. Linux 4.17. */
  readonly ports?: readonly [number, number];
  /** Rules with a lower priority come first. */
  readonly priority?: number;
  /** Table to look up, or the error that the sender receives. */
  readonly action: number | 'unreachable' | 'prohibit';
}

function rulePayload({ family, destination, protocol, ports, priority, action }: RoutingRule, isGone = false): Buffer {
  const table = typeof action === 'number' ? action : 0;
  const kind = typeof action === 'number' ? ruleActions.lookup : ruleActions[action];
  const head = Buffer.alloc(12);
  head.set([family === 'inet' ? 2 : 10, destination?.prefix ?? 0, 0, 0, table < 256 ? table : 0, 0, 0, isGone ? 0 : kind]);
  return Buffer.concat([
    head,
    ...(destination ? [attribute(fra.destination, networkBytes(destination))] : []),
    ...(protocol === undefined ? [] : [attribute(fra.protocol, u8(protocol))]),
    ...(ports === undefined ? [] : [attribute(fra.destinationPorts, u16(ports[0]), u16(ports[1]))]),
    ...(priority === undefined ? [] : [attribute(fra.priority, u32(priority))]),
    ...(table >= 256 ? [attribute(fra.table, u32(table))] : []),
  ]);
}

/** Adds a routing rule. */
export function addRule(rule: RoutingRule): NetlinkMessage {
  return { type: types.newRule, flags: request | ack | create | exclusive, payload: rulePayload(rule) };
}

/** Removes a routing rule. */
export function deleteRule(rule: RoutingRule): NetlinkMessage {
  return { type: types.deleteRule, flags: request | ack, payload: rulePayload(rule, true) };
}

const nda = { destination: 1, linkAddress: 2 } as const;
const permanent = 0x80; // NUD_PERMANENT

/** Adds a permanent entry with the hardware address of a neighbour, ip-neighbour(8). */
export function addNeighbour(index: number, address: string, mac: Uint8Array): NetlinkMessage {
  const bytes = ipBytes(address);
  const head = Buffer.concat([u8(familyOf(bytes)), u8(0), u16(0), u32(index), u16(permanent), u8(0), u8(0)]);
  return {
    type: types.newNeighbour,
    flags: request | ack | create | exclusive,
    payload: Buffer.concat([head, attribute(nda.destination, bytes), attribute(nda.linkAddress, mac)]),
  };
}
