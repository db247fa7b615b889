import { isIPv4 } from 'node:net';
import { OptionError } from '../base/errors';
import { type Cidr, ipText, networkBytes, parseCidr, parseIp } from '../base/ip';
import { parseArray, parseInteger, parseObject, parseOneOf, parseRecord, parseString } from '../base/parse';
import { type MacvlanMode, macvlanModes } from '../netlink/link';
import { normalName } from './egress-rules';

/** A route in the sandbox. */
export interface RouteOptions {
  /** Destination network: `'0.0.0.0/0'`, `'10.9.0.0/16'`. */
  readonly to: string;
  /** Address of the gateway. Without it the destination is directly on the link. */
  readonly via?: string;
}

/** Options common to all kinds of interfaces in the sandbox. */
export interface InterfaceOptions {
  /** Name inside, 1 to 15 bytes. Default `eth0`, `eth1`, … */
  readonly name?: string;
  /** Addresses with their prefix: `'10.77.0.5/24'`, `'fd00:77::5/64'`. */
  readonly addresses?: readonly string[];
  /** Default gateways, at most one of each address family. */
  readonly gateways?: readonly string[];
  readonly routes?: readonly RouteOptions[];
  /** MTU in bytes, 68 to 65,535. Default: 1500 from the kernel, or that of the network. */
  readonly mtu?: number;
  /** Hardware address: `'02:00:00:00:00:05'`. Default: the kernel's choice. */
  readonly mac?: string;
}

/** A switch that sandboxes are connected to: a {@link Network}. */
export interface Switch {
  /** Opaque handle with which an interface is connected. */
  readonly plug: object;
}

/** A pair of interfaces that are connected to each other, veth(4). */
export interface VethOptions extends InterfaceOptions {
  /**
   * A {@link Network} that the other end is connected to. It provides address, gateway, MTU and name resolution if they
   * are not given.
   */
  readonly network?: Switch;
  /** Name in that network, which its other sandboxes can resolve. Default: the sandbox's `hostname`. */
  readonly alias?: string;
  /**
   * Interface name of the other end. Without `network` the other end is in this process's network namespace, which
   * requires root. Default: a name that is free.
   */
  readonly hostName?: string;
  /** Addresses of the other end, without `network`. */
  readonly hostAddresses?: readonly string[];
}

/** An interface with a hardware address of its own on the link of a host interface. Root only. */
export interface MacvlanOptions extends InterfaceOptions {
  /** Name of the host interface. */
  readonly parent: string;
  /** Mode as in ip-link(8). Default `'bridge'`. */
  readonly mode?: MacvlanMode;
}

/** Parsed {@link InterfaceOptions}. */
export interface InterfaceSpec {
  readonly kind: 'veth' | 'macvlan' | 'device';
  readonly name: string;
  readonly addresses: readonly Cidr[];
  readonly gateways: readonly string[];
  readonly routes: readonly { readonly to: Cidr; readonly via?: string }[];
  readonly mtu?: number;
  readonly mac?: string;
  /** Returns the handle of the network that the caller passed. Called when it is used. */
  readonly network?: () => object;
  readonly alias?: string;
  readonly hostName?: string;
  readonly hostAddresses: readonly Cidr[];
  /** Name of the host interface: the one below a macvlan, or the device to move. */
  readonly parent?: string;
  readonly mode?: MacvlanMode;
  readonly at: string;
}

const common = ['name', 'addresses', 'gateways', 'routes', 'mtu', 'mac'] as const;
const maxName = 15;

/** Parses the name of an interface. Throws OptionError. */
function parseInterfaceName(value: unknown, at: string): string {
  const name = parseString(value, at);
  if (Buffer.byteLength(name) > maxName || !/^[^\s/:%]+$/.test(name) || name === '.' || name === '..')
    throw new OptionError(at, `expected 1 to ${maxName} bytes without spaces, '/', ':' and '%', received '${name}'`);
  return name;
}

function parseMac(value: unknown, at: string): string {
  const mac = parseString(value, at).toLowerCase();
  if (!/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/.test(mac))
    throw new OptionError(at, `expected six bytes like '02:00:00:00:00:01', received '${mac}'`);
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1)
    throw new OptionError(at, `'${mac}' is a multicast address: the first byte must be even`);
  return mac;
}

const list = <T>(value: unknown, at: string, parse: (one: unknown, at: string) => T): readonly T[] =>
  parseArray(value ?? [], at).map((one, index) => parse(one, `${at}[${index}]`));

function parseRoute(value: unknown, at: string): { readonly to: Cidr; readonly via?: string } {
  const { to, via } = parseObject(value, at, ['to', 'via']);
  const cidr = parseCidr(to, `${at}.to`);
  return { to: { ...cidr, address: ipText(networkBytes(cidr)) }, ...(via === undefined ? {} : { via: parseIp(via, `${at}.via`) }) };
}

function parseCommon(given: Partial<Record<(typeof common)[number], unknown>>, index: number, at: string) {
  const gateways = list(given.gateways, `${at}.gateways`, parseIp);
  if (new Set(gateways.map(isIPv4)).size < gateways.length)
    throw new OptionError(`${at}.gateways`, 'expected at most one IPv4 and one IPv6 address');
  return {
    at,
    name: given.name === undefined ? `eth${index}` : parseInterfaceName(given.name, `${at}.name`),
    addresses: list(given.addresses, `${at}.addresses`, parseCidr),
    gateways,
    routes: list(given.routes, `${at}.routes`, parseRoute),
    ...(given.mtu === undefined ? {} : { mtu: parseInteger(given.mtu, `${at}.mtu`, 68, 65_535) }),
    ...(given.mac === undefined ? {} : { mac: parseMac(given.mac, `${at}.mac`) }),
  };
}

/** Parses one veth or an array of them. `from` is the number of interfaces that exist already. */
export function parseVeths(value: unknown, at: string, from: number): readonly InterfaceSpec[] {
  const several = Array.isArray(value);
  return (several ? value : [value]).map((one: unknown, index) => parseVeth(one, several ? `${at}[${index}]` : at, from + index));
}

function parseAlias(value: unknown, at: string): string {
  const name = normalName(parseString(value, at));
  if (name === undefined) throw new OptionError(at, `expected a host name, received '${String(value)}'`);
  return name;
}

function parseVeth(value: unknown, at: string, index: number): InterfaceSpec {
  const given = parseObject(value, at, [...common, 'network', 'alias', 'hostName', 'hostAddresses']);
  const network = given.network as Switch | undefined;
  if (network !== undefined && typeof network?.plug !== 'object')
    throw new OptionError(`${at}.network`, 'expected a Network', 'ERR_INVALID_ARG_TYPE');
  const own = (['hostName', 'hostAddresses'] as const).find((key) => given[key] !== undefined);
  if (network !== undefined && own) throw new OptionError(`${at}.${own}`, 'is only for a veth without network: leave one of the two out');
  if (given.alias !== undefined && network === undefined) throw new OptionError(`${at}.alias`, 'requires option network of the same veth');
  return {
    kind: 'veth',
    ...parseCommon(given, index, at),
    hostAddresses: list(given.hostAddresses, `${at}.hostAddresses`, parseCidr),
    ...(network === undefined ? {} : { network: () => network.plug }),
    ...(given.alias === undefined ? {} : { alias: parseAlias(given.alias, `${at}.alias`) }),
    ...(given.hostName === undefined ? {} : { hostName: parseInterfaceName(given.hostName, `${at}.hostName`) }),
  };
}

export function parseMacvlans(value: unknown, at: string, from: number): readonly InterfaceSpec[] {
  const several = Array.isArray(value);
  return (several ? value : [value]).map((one: unknown, index) => {
    const where = several ? `${at}[${index}]` : at;
    const given = parseObject(one, where, [...common, 'parent', 'mode']);
    return {
      kind: 'macvlan',
      ...parseCommon(given, from + index, where),
      hostAddresses: [],
      parent: parseInterfaceName(given.parent, `${where}.parent`),
      mode: parseOneOf(given.mode ?? 'bridge', `${where}.mode`, Object.keys(macvlanModes) as MacvlanMode[]),
    };
  });
}

/** Parses a record with the name on the host as key. The value is a name inside, or options of the interface. */
export function parseDevices(value: unknown, at: string): readonly InterfaceSpec[] {
  return Object.entries(parseRecord(value, at)).map(([parent, inside]) => {
    const where = `${at}['${parent}']`;
    const given = typeof inside === 'string' ? { name: inside } : parseObject(inside, where, common);
    return {
      kind: 'device',
      ...parseCommon({ name: parent, ...given }, 0, where),
      hostAddresses: [],
      parent: parseInterfaceName(parent, where),
    };
  });
}
