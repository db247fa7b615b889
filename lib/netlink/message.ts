/** Flags of a request, netlink(7). */
export const netlinkFlags = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  dumpInterrupted: 0x10,
  /** For requests that read. */
  dump: 0x300,
  /** For requests that create something. */
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
} as const;

/** Protocols of netlink sockets, netlink(7). */
export const netlinkProtocols = { route: 0, sockDiag: 4, netfilter: 12 } as const;

/** Message types that every protocol has. */
export const controlTypes = { error: 2, done: 3 } as const;

const headerSize = 16;
const attributeHeader = 4;
/** Marks an attribute that contains others; nfnetlink requires it, rtnetlink does not. */
export const nested = 0x8000;

const aligned = (size: number) => (size + 3) & ~3;

/** A message without its sequence number, which the sender adds. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** Encodes a number in host byte order; both architectures that nsjs supports are little-endian. */
export function u8(value: number): Buffer {
  return Buffer.from([value & 0xff]);
}
export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value & 0xffff);
  return bytes;
}
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}
/** Encodes a number in network byte order. */
export function be16(value: number): Buffer {
  return u16(value).swap16();
}
export function be32(value: number): Buffer {
  return u32(value).swap32();
}
export function be64(value: bigint): Buffer {
  return u64(value).swap64();
}

/** Encodes a string with a terminating NUL. */
export const zeroEnded = (text: string): Buffer => Buffer.from(`${text}\0`);

/** Encodes one attribute: length, type, value, zeros up to a multiple of 4 bytes. */
export function attribute(type: number, ...values: readonly Uint8Array[]): Buffer {
  const value = Buffer.concat(values);
  const bytes = Buffer.alloc(aligned(attributeHeader + value.length));
  bytes.writeUInt16LE(attributeHeader + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, attributeHeader);
  return bytes;
}

/** Encodes a message as it is sent. */
export function encodeMessage({ type, flags, payload }: NetlinkMessage, sequence: number): Buffer {
  const bytes = Buffer.alloc(aligned(headerSize + payload.length));
  bytes.writeUInt32LE(headerSize + payload.length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeUInt32LE(sequence, 8);
  bytes.set(payload, headerSize);
  return bytes;
}

/** A message that was received. */
export interface ReceivedMessage extends NetlinkMessage {
  readonly sequence: number;
}

/** Decodes the messages of one datagram. A truncated message at its end is left out. */
export function decodeMessages(bytes: Buffer): readonly ReceivedMessage[] {
  const messages: ReceivedMessage[] = [];
  for (let at = 0; at + headerSize <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < headerSize || at + length > bytes.length) break;
    messages.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      sequence: bytes.readUInt32LE(at + 8),
      payload: bytes.subarray(at + headerSize, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

/** Decodes attributes by their type, the last of each type; the first truncated attribute ends them. */
export function decodeAttributes(bytes: Buffer): ReadonlyMap<number, Buffer> {
  return new Map(listAttributes(bytes));
}

/**
 * Decodes attributes in their order, including types that occur more than once; the first truncated attribute ends
 * them.
 */
export function listAttributes(bytes: Buffer): readonly (readonly [type: number, value: Buffer])[] {
  const found: (readonly [number, Buffer])[] = [];
  for (let at = 0; at + attributeHeader <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < attributeHeader || at + length > bytes.length) break;
    found.push([bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + attributeHeader, at + length)]);
    at += aligned(length);
  }
  return found;
}

/** An acknowledgement: a positive errno, or 0 for success, and the kernel's error text if there is one (Linux 4.12). */
export interface Acknowledgement {
  readonly errno: number;
  readonly text?: string;
}

const cappedFlag = 0x100;
const extendedFlag = 0x200;
const messageAttribute = 1; // NLMSGERR_ATTR_MSG

/** Decodes a message of type `controlTypes.error`, or the errno in one of type `done`. */
export function decodeAcknowledgement({ flags, payload }: NetlinkMessage): Acknowledgement {
  if (payload.length < 4) return { errno: 0 };
  const errno = -payload.readInt32LE(0);
  if ((flags & extendedFlag) === 0 || payload.length < 4 + headerSize) return { errno };
  const length = (flags & cappedFlag) !== 0 ? headerSize : payload.readUInt32LE(4);
  const text = decodeAttributes(payload.subarray(4 + aligned(length))).get(messageAttribute);
  return { errno, ...(text === undefined ? {} : { text: stringOf(text) }) };
}

/** Decodes a string up to its terminating NUL. */
export function stringOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}
