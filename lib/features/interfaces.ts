import { isIPv4 } from 'node:net';
import { OptionError } from '../base/errors';
import { type Cidr, ipText, networkBytes, parseCidr, parseIp } from '../base/ip';
import { parseArray, parseInteger, parseObject, parseOneOf, parseRecord, parseString } from '../base/parse';
import { type MacvlanMode, macvlanModes } from '../netlink/link';
import { normalName } from './egress-rules';

/** A route inside. */
export interface RouteOptions {
  /** `'0.0.0.0/0'`, `'10.9.0.0/16'`. */
  readonly to: string;
  /** The neighbour it goes by; without one what it names is on the link itself. */
  readonly via?: string;
}

/** An interface inside, as far as all kinds have it. */
export interface InterfaceOptions {
  /** Name inside, 1 to 15 bytes. Default `eth0`, `eth1`, … */
  readonly name?: string;
  /** Addresses with their prefix: `'10.77.0.5/24'`, `'fd00:77::5/64'`. */
  readonly addresses?: readonly string[];
  /** Where everything goes that is on no link: one of each family. */
  readonly gateways?: readonly string[];
  readonly routes?: readonly RouteOptions[];
  /** Bytes, 68 to 65,535. Default: the kernel's 1500, or the network's. */
  readonly mtu?: number;
  /** Hardware address: `'02:00:00:00:00:05'`. Default: the kernel's choice. */
  readonly mac?: string;
}

/** Where sandboxes are plugged in: a {@link Network}. */
export interface Switch {
  /** How it is reached by who plugs in; opaque. */
  readonly plug: object;
}

/** Two interfaces that are each other's other end, veth(4). */
export interface VethOptions extends InterfaceOptions {
  /** A {@link Network} that the other end is plugged into. It gives address, gateway, MTU and name resolution where none are named. */
  readonly network?: Switch;
  /** Name in that network, which its other sandboxes resolve. Default: the sandbox's `hostname`. */
  readonly alias?: string;
  /** Without a network the other end is in this process's network namespace, which needs root: its name. Default: one that is free. */
  readonly hostName?: string;
  /** And its addresses. */
  readonly hostAddresses?: readonly string[];
}

/** An interface with a hardware address of its own on the link of one of the host's. Root only. */
export interface MacvlanOptions extends InterfaceOptions {
  /** The host's interface. */
  readonly parent: string;
  /** As ip-link(8) names them. Default `'bridge'`. */
  readonly mode?: MacvlanMode;
}

/** {@link InterfaceOptions} as they were read. */
export interface InterfaceSpec {
  readonly kind: 'veth' | 'macvlan' | 'device';
  readonly name: string;
  readonly addresses: readonly Cidr[];
  readonly gateways: readonly string[];
  readonly routes: readonly { readonly to: Cidr; readonly via?: string }[];
  readonly mtu?: number;
  readonly mac?: string;
  /** What the caller gave; called when it is used. */
  readonly network?: () => object;
  readonly alias?: string;
  readonly hostName?: string;
  readonly hostAddresses: readonly Cidr[];
  /** The host's interface: what a macvlan lies on, or the device that moves. */
  readonly parent?: string;
  readonly mode?: MacvlanMode;
  readonly at: string;
}

const common = ['name', 'addresses', 'gateways', 'routes', 'mtu', 'mac'] as const;
const maxName = 15;

/** Reads the name of an interface. Throws OptionError. */
export function parseInterfaceName(value: unknown, at: string): string {
  const name = parseString(value, at);
  if (Buffer.byteLength(name) > maxName || !/^[^\s/:%]+$/.test(name) || name === '.' || name === '..')
    throw new OptionError(at, `expected 1 to ${maxName} bytes without spaces, '/', ':' and '%', received '${name}'`);
  return name;
}

function parseMac(value: unknown, at: string): string {
  const mac = parseString(value, at).toLowerCase();
  if (!/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/.test(mac))
    throw new OptionError(at, `expected six bytes like '02:00:00:00:00:01', received '${mac}'`);
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1) throw new OptionError(at, `'${mac}' is the address of a group`);
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
  if (new Set(gateways.map(isIPv4)).size < gateways.length) throw new OptionError(`${at}.gateways`, 'expected one of each family');
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

/** Reads one or several; `from`: how many there are already. */
export function parseVeths(value: unknown, at: string, from: number): readonly InterfaceSpec[] {
  const several = Array.isArray(value);
  return (several ? value : [value]).map((one: unknown, index) => parseVeth(one, several ? `${at}[${index}]` : at, from + index));
}

function parseAlias(value: unknown, at: string): string {
  const name = normalName(parseString(value, at));
  if (name === undefined) throw new OptionError(at, `expected a name of a host, received '${String(value)}'`);
  return name;
}

function parseVeth(value: unknown, at: string, index: number): InterfaceSpec {
  const given = parseObject(value, at, [...common, 'network', 'alias', 'hostName', 'hostAddresses']);
  const network = given.network as Switch | undefined;
  if (network !== undefined && typeof network?.plug !== 'object')
    throw new OptionError(`${at}.network`, 'expected a Network', 'ERR_INVALID_ARG_TYPE');
  if (network !== undefined && (given.hostName !== undefined || given.hostAddresses !== undefined))
    throw new OptionError(`${at}.hostName`, 'belongs to a veth without a network');
  if (given.alias !== undefined && network === undefined) throw new OptionError(`${at}.alias`, 'needs a network');
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

/** By the name on the host: a name inside, or an interface. */
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
