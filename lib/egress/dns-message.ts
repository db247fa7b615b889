import { ipBytes } from '../base/ip';

/** Record types, RFC 1035 and its successors. */
export const recordTypes = { a: 1, ptr: 12, aaaa: 28, https: 65 } as const;
/** Response codes, RFC 1035. */
export const responseCodes = { ok: 0, format: 1, failure: 2, noName: 3, notImplemented: 4, refused: 5 } as const;

const headerSize = 12;
const internet = 1;
// Bytes of a name on the wire, RFC 1035, section 3.1.
const maxName = 255;

/** A query with one question. */
export interface DnsQuery {
  readonly id: number;
  /** In lower case, without a dot at its end. */
  readonly name: string;
  readonly type: number;
  /** Bytes of the question. The response repeats them unchanged, because some clients compare their case. */
  readonly question: Buffer;
  /** Whether the query requests recursion. */
  readonly recursion: boolean;
}

/** Reads a query with one question of the Internet class; undefined for anything else. */
export function decodeQuery(bytes: Buffer): DnsQuery | undefined {
  if (bytes.length < headerSize + 5) return undefined;
  const flags = bytes.readUInt16BE(2);
  const isQuery = (flags & 0xf800) === 0;
  if (!isQuery || bytes.readUInt16BE(4) !== 1) return undefined;
  const labels: string[] = [];
  let at = headerSize;
  for (;;) {
    const length = bytes[at];
    // A question needs no compression.
    if (length === undefined || length > 63 || at - headerSize >= maxName) return undefined;
    at++;
    if (length === 0) break;
    if (at + length > bytes.length) return undefined;
    labels.push(bytes.toString('latin1', at, at + length));
    at += length;
  }
  if (at + 4 > bytes.length || bytes.readUInt16BE(at + 2) !== internet) return undefined;
  // In text form, a dot within a label would make a different name.
  if (labels.some((label) => /[^\w-]/.test(label))) return undefined;
  return {
    id: bytes.readUInt16BE(0),
    name: labels.join('.').toLowerCase(),
    type: bytes.readUInt16BE(at),
    question: bytes.subarray(headerSize, at + 4),
    recursion: (flags & 0x100) !== 0,
  };
}

/** Response to a query: addresses of the requested type, or none. */
export interface DnsAnswer {
  readonly code: number;
  readonly addresses?: readonly string[];
  /** Seconds. Default 30. */
  readonly ttl?: number;
}

/** Encodes the response to a query. */
export function encodeAnswer(query: DnsQuery, { code, addresses = [], ttl = 30 }: DnsAnswer): Buffer {
  const head = Buffer.alloc(headerSize);
  head.writeUInt16BE(query.id, 0);
  head.writeUInt16BE(0x8080 | (query.recursion ? 0x100 : 0) | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(addresses.length, 6);
  return Buffer.concat([head, query.question, ...addresses.map((address) => record(query.type, ttl, ipBytes(address)))]);
}

/**
 * Encodes the response to a malformed query: its id and the code `format`. Returns undefined for a message that must
 * not be answered.
 */
export function encodeFormatError(bytes: Buffer): Buffer | undefined {
  // Never respond to a response: two resolvers would continue forever.
  if (bytes.length < headerSize || (bytes.readUInt16BE(2) & 0x8000) !== 0) return undefined;
  const head = Buffer.alloc(headerSize);
  head.writeUInt16BE(bytes.readUInt16BE(0), 0);
  head.writeUInt16BE(0x8080 | responseCodes.format, 2);
  return head;
}

function record(type: number, ttl: number, data: Buffer): Buffer {
  const head = Buffer.alloc(headerSize);
  head.writeUInt16BE(0xc000 | headerSize, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(internet, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}
