import { type Cidr, ipBytes, maskBytes, networkBytes } from '../../base/ip';
import * as nft from '../../netlink/expressions';
import { be16, type NetlinkMessage, u8, u32 } from '../../netlink/message';
import { newChain, newRule, newTable, type TableName } from '../../netlink/nftables';

const nameSize = 16;
const dnsPort = 53;
const [tcp, udp, icmp, icmpSix] = [6, 17, 1, 58].map(u8) as [Buffer, Buffer, Buffer, Buffer];

/** Parameters of the rules of one bridge. */
export interface BridgeRules {
  readonly bridge: string;
  readonly subnets: readonly Cidr[];
  /** Whether packets that leave through another interface get the address of that interface. */
  readonly nat: boolean;
  /** Whether sandboxes are kept from reaching each other, even by way of the host. */
  readonly isolated: boolean;
  /** Whether sandboxes can reach services on the host. DNS queries are always allowed. */
  readonly host: boolean;
  /** Addresses of the bridge itself, at which its DNS server listens. */
  readonly gateways: readonly string[];
}

/** A port of the host that is forwarded to a sandbox of the bridge. */
export interface PublishedPort {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly address: string;
  readonly toPort: number;
}

/** The table has the name of its bridge, so that it can be found after the bridge is gone. */
export const tableOf = (bridge: string): TableName => ({ family: 'inet', table: bridge });

const padded = (name: string) => Buffer.from(name.padEnd(nameSize, '\0'));
const from = (bridge: string, operator: 'eq' | 'neq' = 'eq') => [nft.meta('iifname'), nft.cmp(operator, padded(bridge))];
const to = (bridge: string, operator: 'eq' | 'neq' = 'eq') => [nft.meta('oifname'), nft.cmp(operator, padded(bridge))];
const isProtocol = (protocol: Buffer) => [nft.meta('l4proto'), nft.cmp('eq', protocol)];
const isPort = (port: number) => [nft.payload('transport', 2, 2), nft.cmp('eq', be16(port))];
const establishedOrRelated = [nft.ct('state'), nft.bitwise(u32(6), u32(0)), nft.cmp('neq', u32(0))];

const family = (address: string) => {
  const isSix = address.includes(':');
  return {
    number: u8(isSix ? 10 : 2),
    size: isSix ? 16 : 4,
    source: isSix ? 8 : 12,
    destination: isSix ? 24 : 16,
    name: isSix ? 'inet6' : 'inet',
  } as const;
};

function isIn(cidr: Cidr, side: 'source' | 'destination'): readonly nft.Expression[] {
  const { number, size, [side]: offset } = family(cidr.address);
  return [
    nft.meta('nfproto'),
    nft.cmp('eq', number),
    nft.payload('network', offset, size),
    nft.bitwise(maskBytes(cidr.prefix, size), Buffer.alloc(size)),
    nft.cmp('eq', networkBytes(cidr)),
  ];
}

const isTo = (address: string) => isIn({ address, prefix: ipBytes(address).length * 8 }, 'destination');
const notLoopback = from('lo', 'neq');

// Matches packets with a forged source address. A sandbox may send from its subnet and, with IPv6, from a link-local
// address to its neighbours.
function isForeign({ address, prefix }: Cidr): readonly nft.Expression[] {
  const { number, size, source } = family(address);
  const isFamily = [nft.meta('nfproto'), nft.cmp('eq', number), nft.payload('network', source, size)];
  const beyond = [nft.bitwise(maskBytes(prefix, size), Buffer.alloc(size)), nft.cmp('neq', networkBytes({ address, prefix }))];
  if (size === 4) return [...isFamily, ...beyond];
  const linkLocal = { address: 'fe80::', prefix: 10 };
  const notOfLink = [nft.bitwise(maskBytes(10, size), Buffer.alloc(size), 2), nft.cmp('neq', networkBytes(linkLocal), 2)];
  return [...isFamily, ...beyond, nft.payload('network', source, size, 2), ...notOfLink, ...notUnspecified];
}

// Duplicate address detection sends from the unspecified address.
const notUnspecified = [nft.payload('network', 8, 16, 2), nft.cmp('neq', Buffer.alloc(16), 2)];

const familiesWithout = (subnets: readonly Cidr[]): readonly Buffer[] =>
  [2, 10].map(u8).filter((number) => !subnets.some(({ address }) => family(address).number.equals(number)));

// Addresses at which clouds serve the credentials of their machines.
const metadata: readonly Cidr[] = [
  { address: '169.254.0.0', prefix: 16 },
  { address: '168.63.129.16', prefix: 32 },
  { address: '100.100.100.200', prefix: 32 },
  { address: 'fd00:ec2::254', prefix: 128 },
];

/** Returns the messages that create the table of one bridge, to be applied as one transaction. */
export function bridgeRules({ bridge, subnets, nat, isolated, host, gateways }: BridgeRules): readonly NetlinkMessage[] {
  const table = tableOf(bridge);
  const rule = (chain: string, ...expressions: readonly nft.Expression[]) => newRule(table, chain, expressions);
  const refused = nft.reject('admin-prohibited');
  return [
    newTable(table),
    newChain(table, 'publish', { type: 'nat', hook: 'prerouting', priority: -100, policy: 'accept' }),
    newChain(table, 'publish-own', { type: 'nat', hook: 'output', priority: -100, policy: 'accept' }),
    newChain(table, 'leave', { type: 'nat', hook: 'postrouting', priority: 100, policy: 'accept' }),
    newChain(table, 'forward', { type: 'filter', hook: 'forward', priority: 0, policy: 'accept' }),
    newChain(table, 'input', { type: 'filter', hook: 'input', priority: 0, policy: 'accept' }),
    ...(nat ? subnets.map((subnet) => rule('leave', ...isIn(subnet, 'source'), ...to(bridge, 'neq'), nft.masquerade())) : []),
    ...['forward', 'input'].flatMap((chain) =>
      subnets.map((subnet) => rule(chain, ...from(bridge), ...isForeign(subnet), nft.verdict('drop'))),
    ),
    ...familiesWithout(subnets).map((number) =>
      rule('forward', ...from(bridge), nft.meta('nfproto'), nft.cmp('eq', number), nft.verdict('drop')),
    ),
    // Only sandboxes of the network may query its DNS server.
    ...gateways.map((gateway) =>
      rule('input', ...from(bridge, 'neq'), ...notLoopback, ...isTo(gateway), ...isProtocol(udp), ...isPort(dnsPort), nft.verdict('drop')),
    ),
    ...(isolated ? [rule('forward', ...from(bridge), ...to(bridge), refused)] : []),
    ...metadata.map((cidr) => rule('forward', ...from(bridge), ...isIn(cidr, 'destination'), refused)),
    // Incoming packets are dropped unless they belong to a connection that the sandbox opened, or to a published port.
    rule('forward', ...to(bridge), ...from(bridge, 'neq'), ...establishedOrRelated, nft.verdict('accept')),
    rule('forward', ...to(bridge), ...from(bridge, 'neq'), ...isTranslated, nft.verdict('accept')),
    rule('forward', ...to(bridge), ...from(bridge, 'neq'), nft.verdict('drop')),
    ...(nat ? [] : [rule('forward', ...from(bridge), ...to(bridge, 'neq'), ...establishedOrRelated, nft.verdict('accept'))]),
    ...(nat ? [] : [rule('forward', ...from(bridge), ...to(bridge, 'neq'), refused)]),
    ...(host ? [] : hostRules(rule, bridge, gateways)),
  ];
}

const dnat = 0x20; // IPS_DST_NAT
const isTranslated = [nft.ct('status'), nft.bitwise(u32(dnat), u32(0)), nft.cmp('neq', u32(0))];

function hostRules(
  rule: (chain: string, ...expressions: readonly nft.Expression[]) => NetlinkMessage,
  bridge: string,
  gateways: readonly string[],
) {
  const accept = nft.verdict('accept');
  return [
    rule('input', ...from(bridge), ...establishedOrRelated, accept),
    ...gateways.map((gateway) => rule('input', ...from(bridge), ...isTo(gateway), ...isProtocol(udp), ...isPort(dnsPort), accept)),
    rule('input', ...from(bridge), ...isProtocol(icmp), accept),
    rule('input', ...from(bridge), ...isProtocol(icmpSix), accept),
    rule('input', ...from(bridge), nft.reject('port-unreachable')),
  ];
}

/** Returns the messages that forward a port of the host to a sandbox. */
export function publishRules(bridge: string, { protocol, port, address, toPort }: PublishedPort): readonly NetlinkMessage[] {
  const { number, name } = family(address);
  const wanted = [nft.meta('nfproto'), nft.cmp('eq', number), ...isProtocol(protocol === 'tcp' ? tcp : udp), ...isPort(port)];
  const change = [nft.immediate(1, ipBytes(address)), nft.immediate(2, be16(toPort)), nft.nat('dnat', name, 1, 2)];
  const table = tableOf(bridge);
  return [
    newRule(table, 'publish', [...from(bridge, 'neq'), ...isLocal, ...wanted, ...change]),
    // The host's loopback addresses are left to its own services.
    newRule(table, 'publish-own', [...isLocal, ...outside(address), ...wanted, ...change]),
  ];
}

function outside(address: string): readonly nft.Expression[] {
  const own: Cidr = address.includes(':') ? { address: '::1', prefix: 128 } : { address: '127.0.0.0', prefix: 8 };
  const { number, size, destination } = family(address);
  const loaded = [nft.meta('nfproto'), nft.cmp('eq', number), nft.payload('network', destination, size)];
  return [...loaded, nft.bitwise(maskBytes(own.prefix, size), Buffer.alloc(size)), nft.cmp('neq', networkBytes(own))];
}

// Matches only packets to the host itself, not packets that it forwards.
const isLocal = [nft.fibType('destination'), nft.cmp('eq', u32(2))];
