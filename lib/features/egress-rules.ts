import { isIP, isIPv4 } from 'node:net';
import { domainToASCII } from 'node:url';
import { OptionError } from '../base/errors';
import { type Cidr, canonicalIp, cidrContains, parseCidr } from '../base/ip';
import { parseArray, parseString } from '../base/parse';

/** What a rule of egress names; all that it has must fit. */
export interface EgressRule {
  /** A name, in lower case and without a dot at its end. */
  readonly name?: string;
  /** `.example.com`: every name below it. */
  readonly suffix?: string;
  readonly cidr?: Cidr;
  /** First and last. */
  readonly ports: readonly [number, number];
}

const allPorts = [1, 65_535] as const;
const grammar = "expected 'name:port', '*.name', '10.0.0.0/8:443', '[2001:db8::]/32:443' or '*'";

/** Reads `name`, `*.name`, an address or a network, and after a colon a port or a range of them. Throws OptionError. */
export function parseRule(value: unknown, at: string): EgressRule {
  const text = parseString(value, at).trim();
  const { host, ports } = splitPorts(text, at);
  if (host === '*') return { ports };
  if (isIP(host.split('/')[0] ?? '') !== 0) {
    const { address, prefix } = parseCidr(host, at);
    const plain = canonicalIp(address);
    // An IPv4 address in IPv6's clothes is that IPv4 address.
    return { cidr: { address: plain, prefix: isIPv4(plain) && !isIPv4(address) ? prefix - 96 : prefix }, ports };
  }
  const isSuffix = host.startsWith('*.');
  const name = normalName(isSuffix ? host.slice(2) : host);
  if (name === undefined || name.includes('*')) throw new OptionError(at, `${grammar}, received '${text}'`);
  return isSuffix ? { suffix: `.${name}`, ports } : { name, ports };
}

export const parseRules = (value: unknown, at: string): readonly EgressRule[] =>
  parseArray(value ?? [], at).map((rule, index) => parseRule(rule, `${at}[${index}]`));

/** An endpoint: `name:port` or `address:port`. */
export function parseEndpoint(value: unknown, at: string): { readonly host: string; readonly port: number } {
  const text = parseString(value, at);
  const { host, ports } = splitPorts(text, at);
  const known = isIP(host) === 0 ? normalName(host) : canonicalIp(host);
  if (known === undefined || ports[0] !== ports[1]) throw new OptionError(at, `expected 'name:port', received '${text}'`);
  return { host: known, port: ports[0] };
}

function splitPorts(text: string, at: string): { readonly host: string; readonly ports: readonly [number, number] } {
  const [, six, prefix = '', sixPorts] = /^\[([^\]]+)\](\/\d+)?(?::(.+))?$/.exec(text) ?? [];
  if (six !== undefined) return { host: `${six}${prefix}`, ports: parsePorts(sixPorts, at) };
  // More than one colon and no brackets: an IPv6 address and nothing else.
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

const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** A name in its one form: lower case, in ASCII, without a dot at its end; undefined if it is none. */
export function normalName(text: string): string | undefined {
  // Names of services have underscores, which no URL may.
  const ascii = /^[\w.-]+$/.test(text) ? text.toLowerCase() : domainToASCII(text);
  const name = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii;
  const labels = name.split('.');
  // A name whose last part is a number is an address in another notation.
  const isNumber = /^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '');
  return name.length > 0 && name.length <= 253 && !isNumber && labels.every((part) => label.test(part)) ? name : undefined;
}

/** Where a connection goes, as far as it is known. */
export interface EgressTarget {
  readonly name?: string;
  readonly address?: string;
  readonly port?: number;
}

/** Whether a rule names the target. An unknown port fits every rule. */
export function matches(rule: EgressRule, { name, address, port }: EgressTarget): boolean {
  if (port !== undefined && (port < rule.ports[0] || port > rule.ports[1])) return false;
  if (rule.name !== undefined) return rule.name === name;
  if (rule.suffix !== undefined) return name?.endsWith(rule.suffix) ?? false;
  if (rule.cidr) return address !== undefined && cidrContains(rule.cidr, address);
  return true;
}

/** What lists say of a target: `deny` wins; undefined where neither names it. */
export function listed(
  { allow, deny }: { readonly allow: readonly EgressRule[]; readonly deny: readonly EgressRule[] },
  target: EgressTarget,
): 'allow' | 'deny' | undefined {
  if (isDenied(deny, target)) return 'deny';
  const isSpecial = target.address !== undefined && target.name === undefined && isSpecialAddress(target.address);
  // Everything is everything public: what is not must be named.
  return allow.some((rule) => (rule.cidr || !isSpecial) && matches(rule, target)) ? 'allow' : undefined;
}

/** Whether a rule of `deny` names it, or the address that a translator takes it for. */
export function isDenied(deny: readonly EgressRule[], target: EgressTarget): boolean {
  if (deny.some((rule) => matches(rule, target))) return true;
  const inner = target.address === undefined ? undefined : translatedAddress(target.address);
  return inner !== undefined && deny.some((rule) => matches(rule, { ...target, address: inner }));
}

// Addresses that lead to this machine, its neighbours, or to nobody: RFC 6890 and IANA's registries of special addresses, and one of a cloud.
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
// Translators put an IPv4 address into the last 32 bits.
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

/** Whether an address is one that only a rule with that address, or its network, may open. */
export function isSpecialAddress(address: string): boolean {
  const inner = translatedAddress(address);
  if (inner !== undefined) return isSpecialAddress(inner);
  const plain = canonicalIp(address);
  special ??= specialNetworks.map((text) => parseCidr(text, 'special'));
  return special.some((cidr) => cidrContains(cidr, plain));
}
