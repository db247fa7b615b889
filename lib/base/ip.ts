import { isIPv4, isIPv6 } from 'node:net';
import { OptionError } from './errors';
import { parseString } from './parse';

/** An IP address and the number of leading bits that identify the network: `10.0.0.5/24`. */
export interface Cidr {
  readonly address: string;
  readonly prefix: number;
}

const isAddress = (text: string): boolean => isIPv4(text) || (isIPv6(text) && !text.includes('%'));

/** Returns the 4 or 16 bytes of an address in network byte order. `address` must be a valid IP address. */
export function ipBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  // The URL parser normalizes every form of an IPv6 address to the shortest one, with hexadecimal groups only.
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const [first, last] = [groups(head), tail === undefined ? [] : groups(tail)];
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of all.entries()) bytes.writeUInt16BE(group, index * 2);
  return bytes;
}

/** Formats the 4 or 16 bytes of an address as the shortest text. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const view = Buffer.from(bytes);
  const groups = Array.from({ length: 8 }, (_, index) => view.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}

/**
 * Returns the canonical form of an address, without a zone. An IPv4-mapped IPv6 address (`::ffff:1.2.3.4`) becomes
 * IPv4.
 */
export function canonicalIp(address: string): string {
  const plain = address.includes('%') ? address.slice(0, address.indexOf('%')) : address;
  const bytes = ipBytes(plain);
  const isMapped = bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes.readUInt16BE(10) === 0xffff;
  return ipText(isMapped ? bytes.subarray(12) : bytes);
}

/** Returns the bytes of the network of an address: all bits after the prefix are 0. */
export function networkBytes({ address, prefix }: Cidr): Buffer {
  const bytes = ipBytes(address);
  return Buffer.from(bytes.map((byte, index) => byte & maskByte(prefix, index)));
}

/** Returns a network mask of `length` bytes with the first `prefix` bits set. */
export function maskBytes(prefix: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => maskByte(prefix, index)));
}

function maskByte(prefix: number, index: number): number {
  const bits = Math.min(8, Math.max(0, prefix - index * 8));
  return (0xff << (8 - bits)) & 0xff;
}

/** Returns whether the network contains the address. */
export function cidrContains(cidr: Cidr, address: string): boolean {
  const bytes = ipBytes(address);
  const network = networkBytes(cidr);
  if (bytes.length !== network.length) return false;
  return bytes.every((byte, index) => (byte & maskByte(cidr.prefix, index)) === network[index]);
}

/** Parses `10.0.0.5/24`. Without a prefix, the result is a single address. Throws OptionError. */
export function parseCidr(value: unknown, at: string): Cidr {
  const [address = '', prefix, ...rest] = parseString(value, at).split('/');
  const bits = isIPv4(address) ? 32 : 128;
  const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
  if (!isAddress(address) || length < 0 || length > bits || rest.length > 0)
    throw new OptionError(at, `expected an address with a prefix like '10.0.0.0/24', received '${String(value)}'`);
  return { address: ipText(ipBytes(address)), prefix: length };
}

/** Parses an IP address without a zone and returns its shortest form. Throws OptionError. */
export function parseIp(value: unknown, at: string): string {
  const address = parseString(value, at);
  if (!isAddress(address)) throw new OptionError(at, `expected an IP address, received '${address}'`);
  return ipText(ipBytes(address));
}

/** Returns whether two networks overlap. */
export function cidrsOverlap(one: Cidr, other: Cidr): boolean {
  const prefix = Math.min(one.prefix, other.prefix);
  return networkBytes({ ...one, prefix }).equals(networkBytes({ ...other, prefix }));
}
