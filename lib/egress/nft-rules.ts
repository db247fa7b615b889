import { type Cidr, ipBytes, maskBytes, networkBytes } from '../base/ip';
import type { EgressSpec } from '../features/egress';
import * as nft from '../netlink/expressions';
import { be16, type NetlinkMessage, u8, u32 } from '../netlink/message';
import { addElements, newChain, newRule, newSet, newTable, type TableName } from '../netlink/nftables';
import { addRoute } from '../netlink/route';
import { namesCidr } from './name-addresses';

const loopback = 1;
/**
 * Ports in the sandbox's network namespace at which its connections arrive. Programs are unlikely to use them by
 * chance.
 */
export const egressPorts = { tcp: 61_001, dns: 61_053, httpProxy: 3128, socks: 1080 } as const;
/** Log group to which the kernel reports refusals. */
export const refusalGroup = 61;

const table: TableName = { family: 'inet', table: 'nsjs' };
const tcp = u8(6);
const udp = u8(17);
const dnsPort = 53;
const loggedPerSecond = 50;
/**
 * Limit of DNS queries, because the kernel keeps an entry for some time for each query from a new port or to another
 * resolver.
 */
const questionsPerSecond = 2000;
const tcpFlags = 13; // offset in the header
const [syn, ack] = [0x02, 0x10];

/** Address families and the values that differ between them. */
const families = {
  inet: {
    nfproto: 2,
    address: '127.0.0.1',
    own: { address: '127.0.0.0', prefix: 8 },
    offset: 16,
    size: 4,
    set: 'reach4',
    type: 'ipv4_addr',
    id: 1,
  },
  inet6: {
    nfproto: 10,
    address: '::1',
    own: { address: '::1', prefix: 128 },
    offset: 24,
    size: 16,
    set: 'reach6',
    type: 'ipv6_addr',
    id: 2,
  },
} as const;
type Family = keyof typeof families;

/**
 * Returns routes that make every address local to the namespace, so that outgoing packets arrive on its loopback
 * interface.
 */
export function localRoutes(hasSix: boolean): readonly NetlinkMessage[] {
  const own = addRoute({ type: 'local', destination: { address: '0.0.0.0', prefix: 0 }, output: loopback, source: '127.0.0.1' });
  const six = addRoute({ type: 'local', destination: { address: '::', prefix: 0 }, output: loopback, source: '::1' });
  return hasSix ? [own, six] : [own];
}

/**
 * Returns the rules that deliver connections to any address, unchanged, to a socket of this process, and DNS queries to
 * any resolver as well. Without `onConnect`, the kernel itself refuses and reports connections that the lists cannot
 * allow.
 */
export function egressRules(spec: EgressSpec, hasSix: boolean): readonly NetlinkMessage[] {
  const used: readonly Family[] = hasSix ? ['inet', 'inet6'] : ['inet'];
  return [
    newTable(table),
    newChain(table, 'names', { type: 'nat', hook: 'output', priority: -100, policy: 'accept' }),
    newChain(table, 'refuse', { type: 'filter', hook: 'output', priority: 0, policy: 'accept' }),
    newChain(table, 'take', { type: 'filter', hook: 'prerouting', priority: -150, policy: 'accept' }),
    ...used.flatMap((family) => reachSet(spec, family)),
    ...used.flatMap((family) => [...redirectNames(family), ...refusals(spec, family), take(family)]),
  ];
}

const isFamily = (family: Family) => [nft.meta('nfproto'), nft.cmp('eq', u8(families[family].nfproto))];
const isProtocol = (protocol: Uint8Array) => [nft.meta('l4proto'), nft.cmp('eq', protocol)];

// Excludes the loopback network itself, which programs inside use among themselves.
function isOutward(family: Family): readonly nft.Expression[] {
  const { offset, size, own } = families[family];
  return [
    ...isFamily(family),
    nft.payload('network', offset, size),
    nft.bitwise(maskBytes(own.prefix, size), Buffer.alloc(size)),
    nft.cmp('neq', networkBytes(own)),
  ];
}

const port = (operator: 'eq' | 'neq', number: number) => [nft.payload('transport', 2, 2), nft.cmp(operator, be16(number))];

function redirectNames(family: Family): readonly NetlinkMessage[] {
  const rule = (...expressions: readonly nft.Expression[]) =>
    newRule(table, 'names', [...isOutward(family), ...isProtocol(udp), ...port('eq', dnsPort), ...expressions]);
  return [
    rule(nft.limit(questionsPerSecond, 'second', questionsPerSecond, true), nft.verdict('drop')),
    rule(nft.immediate(1, be16(egressPorts.dns)), nft.redirect(1)),
  ];
}

function take(family: Family): NetlinkMessage {
  const { address } = families[family];
  const arrival = [nft.meta('iif'), nft.cmp('eq', u32(loopback))];
  const to = [nft.immediate(1, ipBytes(address)), nft.immediate(2, be16(egressPorts.tcp)), nft.tproxy(family, 1, 2), nft.verdict('accept')];
  return newRule(table, 'take', [...arrival, ...isOutward(family), ...isProtocol(tcp), ...to]);
}

function refusals(spec: EgressSpec, family: Family): readonly NetlinkMessage[] {
  const { offset, size, set, id } = families[family];
  const rule = (...expressions: readonly nft.Expression[]) => newRule(table, 'refuse', [...isOutward(family), ...expressions]);
  const logged = [nft.limit(loggedPerSecond, 'second', loggedPerSecond), nft.log(refusalGroup)];
  const isBeyond = [nft.payload('network', offset, size), nft.lookup(set, { id, inverted: true })];
  // Only the first packet of a connection matches: a rule that also matched its own reset would drop it.
  const opens = [...isProtocol(tcp), nft.payload('transport', tcpFlags, 1), nft.bitwise(u8(syn | ack), u8(0)), nft.cmp('eq', u8(syn))];
  const isOther = [nft.meta('l4proto'), nft.cmp('neq', tcp), nft.meta('l4proto'), nft.cmp('neq', udp)];
  const isNotDns = [...isProtocol(udp), ...port('neq', dnsPort)];
  return [
    // This process answers DNS queries over TCP to any resolver. Those over UDP are already redirected to the loopback
    // network.
    rule(...isProtocol(tcp), ...port('eq', dnsPort), nft.verdict('accept')),
    ...(spec.onConnect ? [] : [rule(...opens, ...isBeyond, ...logged), rule(...opens, ...isBeyond, nft.reject('tcp-reset'))]),
    rule(...isNotDns, ...logged),
    // Rejected on input: on output, sendto(2) would fail with EPERM before the packet is logged.
    newRule(table, 'take', [...isOutward(family), ...isProtocol(udp), nft.reject('port-unreachable')]),
    newRule(table, 'take', [...isOutward(family), ...isOther, nft.reject('admin-prohibited')]),
  ];
}

function reachSet(spec: EgressSpec, family: Family): readonly NetlinkMessage[] {
  const { set, id, type, size } = families[family];
  if (spec.onConnect) return [];
  const cidrs = reachable(spec).filter(({ address }) => ipBytes(address).length === size);
  return [
    newSet(table, { set, id, types: [type], interval: true }),
    ...(cidrs.length === 0
      ? []
      : [
          addElements(
            table,
            { set, id },
            merged(cidrs).map(({ first, end }) => ({ first, end })),
          ),
        ]),
  ];
}

/** Returns the networks to which a connection could be allowed by its address. */
function reachable({ allow, services }: EgressSpec): readonly Cidr[] {
  const isOpen = allow.some((rule) => rule.name === undefined && rule.suffix === undefined && !rule.cidr);
  const everything = [
    { address: '0.0.0.0', prefix: 0 },
    { address: '::', prefix: 0 },
  ];
  const named = services
    .filter(({ host }) => /^[\d.]+$|:/.test(host))
    .map(({ host }) => ({ address: host, prefix: ipBytes(host).length * 8 }));
  return isOpen ? everything : [namesCidr, ...allow.flatMap(({ cidr }) => cidr ?? []), ...named];
}

/**
 * Returns sorted ranges that do not touch each other, because the kernel accepts no others. `end` is the first address
 * after the range; undefined if the range includes the last address.
 */
export function merged(cidrs: readonly Cidr[]): readonly { readonly first: Buffer; readonly end: Buffer | undefined }[] {
  const ranges = cidrs
    .map((cidr) => ({ first: networkBytes(cidr), end: after(cidr) }))
    .sort((one, other) => Buffer.compare(one.first, other.first));
  const result: { first: Buffer; end: Buffer | undefined }[] = [];
  for (const range of ranges) {
    const last = result.at(-1);
    if (last && (last.end === undefined || Buffer.compare(range.first, last.end) <= 0)) {
      if (last.end !== undefined && (range.end === undefined || Buffer.compare(range.end, last.end) > 0)) last.end = range.end;
    } else result.push({ ...range });
  }
  return result;
}

function after({ address, prefix }: Cidr): Buffer | undefined {
  const bytes = networkBytes({ address, prefix });
  const mask = maskBytes(prefix, bytes.length);
  for (let index = 0; index < bytes.length; index++) bytes[index] = (bytes[index] ?? 0) | (~(mask[index] ?? 0) & 0xff);
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = ((bytes[index] ?? 0) + 1) & 0xff;
    if (bytes[index] !== 0) return bytes;
  }
  return undefined;
}
