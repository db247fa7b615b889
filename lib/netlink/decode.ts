import { type Cidr, ipText } from '../base/ip';
import { decodeAttributes, type NetlinkMessage, stringOf } from './message';

/** An interface as the kernel reports it. */
export interface LinkFact {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  /** Bytes. */
  readonly mtu: number;
  readonly mac?: string;
  /** Kind of a virtual interface, such as `veth` or `bridge`; undefined for the loopback interface and for hardware. */
  readonly kind?: string;
  /** Index of the bridge that the interface is a port of. */
  readonly master?: number;
  readonly alias?: string;
  /** In bytes and packets. */
  readonly received: { readonly bytes: number; readonly packets: number };
  readonly sent: { readonly bytes: number; readonly packets: number };
}

const ifla = { address: 1, name: 3, mtu: 4, master: 10, info: 18, alias: 20, stats64: 23 } as const;
const newLink = 16;

/** Reads a message about an interface; undefined if it is about something else. */
export function decodeLink({ type, payload }: NetlinkMessage): LinkFact | undefined {
  if (type !== newLink || payload.length < 16) return undefined;
  const attributes = decodeAttributes(payload.subarray(16));
  const [mac, master, info, alias] = [ifla.address, ifla.master, ifla.info, ifla.alias].map((key) => attributes.get(key));
  const kind = info && decodeAttributes(info).get(1);
  const stats = attributes.get(ifla.stats64);
  const count = (index: number) => (stats ? Number(stats.readBigUInt64LE(index * 8)) : 0);
  return {
    index: payload.readInt32LE(4),
    name: stringOf(attributes.get(ifla.name) ?? Buffer.alloc(0)),
    up: (payload.readUInt32LE(8) & 1) !== 0,
    mtu: attributes.get(ifla.mtu)?.readUInt32LE(0) ?? 0,
    ...(mac?.length === 6 ? { mac: macText(mac) } : {}),
    ...(kind ? { kind: stringOf(kind) } : {}),
    ...(master ? { master: master.readUInt32LE(0) } : {}),
    ...(alias ? { alias: stringOf(alias) } : {}),
    received: { packets: count(0), bytes: count(2) },
    sent: { packets: count(1), bytes: count(3) },
  };
}

const macText = (bytes: Buffer) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');

/** An address of an interface. */
export interface AddressFact extends Cidr {
  readonly index: number;
  /** Scope of the address: `global`, `site`, `link`, `host`, or another number as text. */
  readonly scope: string;
  /** Whether the address does not come from a lease or an announcement. */
  readonly permanent: boolean;
}

const newAddress = 20;
const ifaPermanent = 0x80;
const scopeNames: Readonly<Record<number, string>> = { 0: 'global', 200: 'site', 253: 'link', 254: 'host' };

/** Reads a message about an address; undefined if it is about something else. */
export function decodeAddress({ type, payload }: NetlinkMessage): AddressFact | undefined {
  if (type !== newAddress || payload.length < 8) return undefined;
  const attributes = decodeAttributes(payload.subarray(8));
  const bytes = attributes.get(2) ?? attributes.get(1);
  if (!bytes) return undefined;
  const flags = attributes.get(8)?.readUInt32LE(0) ?? payload[2] ?? 0;
  return {
    index: payload.readInt32LE(4),
    address: ipText(bytes),
    prefix: payload[1] ?? 0,
    scope: scopeNames[payload[3] ?? 0] ?? `${payload[3]}`,
    permanent: (flags & ifaPermanent) !== 0,
  };
}

/** A route as the kernel reports it. */
export interface RouteFact {
  readonly family: 'inet' | 'inet6';
  readonly destination: Cidr;
  readonly gateway?: string;
  readonly output?: number;
  readonly source?: string;
  readonly table: number;
  /** `unicast`, `local`, `unreachable`. */
  readonly type: string;
  readonly metric?: number;
}

const newRoute = 24;
const routeTypeNames: Readonly<Record<number, string>> = {
  1: 'unicast',
  2: 'local',
  3: 'broadcast',
  4: 'anycast',
  5: 'multicast',
  6: 'blackhole',
  7: 'unreachable',
  8: 'prohibit',
};

/** Reads a message about a route; undefined if it is about something else. */
export function decodeRoute({ type, payload }: NetlinkMessage): RouteFact | undefined {
  if (type !== newRoute || payload.length < 12) return undefined;
  const attributes = decodeAttributes(payload.subarray(12));
  const isSix = payload[0] === 10;
  const [destination, gateway, output, source, metric] = [1, 5, 4, 7, 6].map((key) => attributes.get(key));
  return {
    family: isSix ? 'inet6' : 'inet',
    destination: { address: ipText(destination ?? new Uint8Array(isSix ? 16 : 4)), prefix: payload[1] ?? 0 },
    ...(gateway ? { gateway: ipText(gateway) } : {}),
    ...(output ? { output: output.readUInt32LE(0) } : {}),
    ...(source ? { source: ipText(source) } : {}),
    table: attributes.get(15)?.readUInt32LE(0) ?? payload[4] ?? 0,
    type: routeTypeNames[payload[7] ?? 0] ?? `${payload[7]}`,
    ...(metric ? { metric: metric.readUInt32LE(0) } : {}),
  };
}
