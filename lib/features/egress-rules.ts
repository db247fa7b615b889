import { isIP, isIPv4, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import { OptionError } from '../base/errors';
import { type Cidr, canonicalIp, cidrContains, parseCidr } from '../base/ip';
import { parseArray, parseString } from '../base/parse';

/** A parsed egress rule. It matches a target if every property that is set matches. */
export interface EgressRule {
  /** Host name in lower case, without a trailing dot. */
  readonly name?: string;
  /** Suffix such as `.example.com`: matches every name below that domain. */
  readonly suffix?: string;
  readonly cidr?: Cidr;
  /** First and last port. */
  readonly ports: readonly [number, number];
}

const allPorts = [1, 65_535] as const;
// The length of ::ffff:0:0/96.
const mappedPrefix = 96;
const grammar = "expected 'name:port', '*.name', '10.0.0.0/8:443', '[2001:db8::]/32:443' or '*'";

/**
 * Parses `name`, `*.name`, an address or a network, optionally followed by a colon and a port or a range of ports.
 * Throws OptionError.
 */
export function parseRule(value: unknown, at: string): EgressRule {
  const text = parseString(value, at).trim();
  const { host, ports } = splitPorts(text, at);
  if (host === '*') return { ports };
  if (isIP(host.split('/')[0] ?? '') !== 0) {
    const { address, prefix } = parseCidr(host, at);
    const plain = canonicalIp(address);
    // An IPv4-mapped IPv6 address is treated as the IPv4 address.
    const isMapped = isIPv4(plain) && !isIPv4(address);
    if (isMapped && prefix < mappedPrefix)
      throw new OptionError(at, `a network of IPv4-mapped addresses has a prefix of at least ${mappedPrefix}, received '${text}'`);
    return { cidr: { address: plain, prefix: isMapped ? prefix - mappedPrefix : prefix }, ports };
  }
  const isSuffix = host.startsWith('*.');
  const name = normalName(isSuffix ? host.slice(2) : host);
  if (name === undefined || name.includes('*')) throw new OptionError(at, `${grammar}, received '${text}'`);
  return isSuffix ? { suffix: `.${name}`, ports } : { name, ports };
}

export const parseRules = (value: unknown, at: string): readonly EgressRule[] =>
  parseArray(value ?? [], at).map((rule, index) => parseRule(rule, `${at}[${index}]`));

/** Parses an endpoint: `name:port` or `address:port`. Throws OptionError. */
export function parseEndpoint(value: unknown, at: string): { readonly host: string; readonly port: number } {
  const text = parseString(value, at);
  const { host, ports } = splitPorts(text, at);
  const known = isIP(host) === 0 ? normalName(host) : canonicalIp(host);
  if (known === undefined || ports[0] !== ports[1]) throw new OptionError(at, `expected 'name:port', received '${text}'`);
  return { host: known, port: ports[0] };
}

function splitPorts(text: string, at: string): { readonly host: string; readonly ports: readonly [number, number] } {
  const [, six, prefix = '', sixPorts] = /^\[([^\]]+)\](\/\d+)?(?::(.+))?$/.exec(text) ?? [];
  if (six !== undefined) {
    if (!isIPv6(six)) throw new OptionError(at, `brackets are only for IPv6 addresses, received '${text}'`);
    return { host: `${six}${prefix}`, ports: parsePorts(sixPorts, at) };
  }
  // More than one colon and no brackets: an IPv6 address without a port.
  const colons = text.split(':').length - 1;
  if (colons !== 1) return { host: text, ports: allPorts };
  const [host = '', ports] = text.split(':');
  return { host, ports: parsePorts(ports, at) };
}

function parsePorts(text: string | undefined, at: string): readonly [number, number] {
  if (text === undefined) return allPorts;
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const [low, high] = [Number(first), Number(last)];
  if (!(low >= 1 && high <= 65_535 && low <= high)) throw new OptionError(at, `expected a port or a range of ports, received '${text}'`);
  return [low, high];
}

// Other ASCII characters would end the name for domainToASCII(), or be decoded: 'a/b' and '%61' would both become 'a'.
const inNames = /^[\w.\-\u{80}-\u{10ffff}]+$/u;
const plainName = /^[\w.-]+$/;
const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * Returns the canonical form of a host name: lower case, ASCII, without a trailing dot. Returns undefined if the text
 * is not a host name.
 */
export function normalName(text: string): string | undefined {
  if (!inNames.test(text)) return undefined;
  // Service names contain underscores, which domainToASCII() need not accept.
  const ascii = plainName.test(text) ? text.toLowerCase() : domainToASCII(text);
  const name = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii;
  const labels = name.split('.');
  // A name whose last label is a number is an IPv4 address in another notation.
  const isNumber = /^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '');
  return name.length > 0 && name.length <= 253 && !isNumber && labels.every((part) => label.test(part)) ? name : undefined;
}

/** Like {@link normalName}, for a name that is passed on as it is: it must be ASCII already. */
export const sentName = (text: string): string | undefined => (plainName.test(text) ? normalName(text) : undefined);

/** Destination of a connection, as far as it is known. */
export interface EgressTarget {
  readonly name?: string;
  readonly address?: string;
  readonly port?: number;
}

/** Returns whether a rule matches the target. An unknown port matches every rule. */
export function matches(rule: EgressRule, { name, address, port }: EgressTarget): boolean {
  if (port !== undefined && (port < rule.ports[0] || port > rule.ports[1])) return false;
  if (rule.name !== undefined) return rule.name === name;
  if (rule.suffix !== undefined) return name?.endsWith(rule.suffix) ?? false;
  if (rule.cidr) return address !== undefined && cidrContains(rule.cidr, address);
  return true;
}

/**
 * Returns the list that names a target; `deny` takes precedence over `allow`. Returns undefined if neither list names
 * it.
 */
export function listed(
  { allow, deny }: { readonly allow: readonly EgressRule[]; readonly deny: readonly EgressRule[] },
  target: EgressTarget,
): 'allow' | 'deny' | undefined {
  if (isDenied(deny, target)) return 'deny';
  const isSpecial = target.address !== undefined && target.name === undefined && isSpecialAddress(target.address);
  // `*` covers public addresses only. A special address must be named by an address or a network.
  return allow.some((rule) => (rule.cidr || !isSpecial) && matches(rule, target)) ? 'allow' : undefined;
}

/** Returns whether a rule of `deny` matches the target, or the IPv4 address that a NAT64 translator would map it to. */
export function isDenied(deny: readonly EgressRule[], target: EgressTarget): boolean {
  if (deny.some((rule) => matches(rule, target))) return true;
  const inner = target.address === undefined ? undefined : translatedAddress(target.address);
  return inner !== undefined && deny.some((rule) => matches(rule, { ...target, address: inner }));
}

// Addresses of this machine or of its neighbours, and addresses that are not globally reachable: RFC 6890, the IANA
// registries of special-purpose addresses, and one address of a cloud provider (168.63.129.16).
const specialNetworks = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '168.63.129.16/32',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  '::/96',
  '::ffff:0:0:0/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
  '5f00::/16',
  'fc00::/7',
  'fe80::/9',
  'ff00::/8',
];
let special: readonly Cidr[] | undefined;
// NAT64 translators put an IPv4 address into the last 32 bits.
const translated: Cidr = { address: '64:ff9b::', prefix: 96 };

function translatedAddress(address: string): string | undefined {
  const plain = canonicalIp(address);
  if (isIPv4(plain) || !cidrContains(translated, plain)) return undefined;
  const groups = plain
    .split(':')
    .slice(-2)
    .map((group) => Number.parseInt(group || '0', 16));
  const [high = 0, low = 0] = groups;
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** Returns whether an address is allowed only by a rule that names the address or its network. */
export function isSpecialAddress(address: string): boolean {
  const inner = translatedAddress(address);
  if (inner !== undefined) return isSpecialAddress(inner);
  const plain = canonicalIp(address);
  special ??= specialNetworks.map((text) => parseCidr(text, 'special'));
  return special.some((cidr) => cidrContains(cidr, plain));
}
