/** TLS record types, RFC 8446, 5.1. */
export const tlsRecord = { changeCipherSpec: 20, alert: 21, handshake: 22, data: 23, last: 26 } as const;
export const clientHello = 1;
export const recordHeader = 5;

/** Whether a ClientHello begins at an offset. With `more`, there are too few bytes to decide. */
export type Seen = 'no' | 'more' | 'yes';

// Limits of the most lenient servers: Go accepts a first record of any version below 0x1000, OpenSSL a ClientHello of
// 131,396 bytes.
export const maxMajor = 0x0f;
const maxLengthHigh = 0x48;
const maxSizeHigh = 2;
const minMessage = 4;

/** Whether bytes begin with a TLS ClientHello, complete in its record or split into several. Pure. */
export function helloAt(bytes: Buffer): Seen {
  const [type, major = 0, , lengthHigh = 0, , message = clientHello, sizeHigh = 0] = bytes;
  if (type !== tlsRecord.handshake || major > maxMajor || lengthHigh > maxLengthHigh || message !== clientHello) return 'no';
  if (bytes.length <= recordHeader) return 'more';
  const length = bytes.readUInt16BE(3);
  if (length === 0 || (length > 1 && sizeHigh > maxSizeHigh)) return 'no';
  if (length >= minMessage) {
    if (bytes.length < recordHeader + minMessage) return 'more';
    if (bytes.readUIntBE(6, 3) + minMessage <= length) return shapeOf(bytes.subarray(recordHeader));
  }
  // The message continues in another record. Anything between the records is refused when the ClientHello is read.
  const [next, nextMajor = 0, , nextHigh = 0] = bytes.subarray(recordHeader + length);
  if (next !== undefined && (next < tlsRecord.changeCipherSpec || next > tlsRecord.handshake)) return 'no';
  if (nextMajor > maxMajor || nextHigh > maxLengthHigh) return 'no';
  return bytes.length >= 2 * recordHeader + length ? 'yes' : 'more';
}

// Session, ciphers, compression, extensions: bytes of each length field, maximum length, and unit of which it is a
// multiple.
const parts = [
  { width: 1, most: 32, unit: 1 },
  { width: 2, most: 0xffff, unit: 2 },
  { width: 1, most: 0xff, unit: 1 },
  { width: 2, most: 0xffff, unit: 1 },
] as const;
const beforeParts = minMessage + 2 + 32; // version, random

// Few random bytes have lengths that are consistent with each other.
function shapeOf(message: Buffer): Seen {
  const end = minMessage + message.readUIntBE(1, 3);
  let at = beforeParts;
  for (const [index, { width, most, unit }] of parts.entries()) {
    if (at === end && index === parts.length - 1) return 'yes';
    if (at + width > end) return 'no';
    if (at + width > message.length) return 'more';
    const length = message.readUIntBE(at, width);
    at += width + length;
    if (length > most || length % unit !== 0 || at > end) return 'no';
  }
  return 'yes';
}

const oldHeader = 11;
const oldMark = 0x80;
const cipherSize = 3;

/** Whether bytes begin with a TLS ClientHello in SSL 2.0 format, which carries no server name; RFC 5246, E.2. Pure. */
function oldHelloAt(bytes: Buffer): Seen {
  const [first = 0, , message = clientHello, major = 3] = bytes;
  if (first < oldMark || message !== clientHello || major !== 3) return 'no';
  if (bytes.length < oldHeader) return 'more';
  const [ciphers, session, challenge] = [bytes.readUInt16BE(5), bytes.readUInt16BE(7), bytes.readUInt16BE(9)];
  const isWhole = oldHeader - 2 + ciphers + session + challenge === (bytes.readUInt16BE(0) & 0x7fff);
  return isWhole && ciphers % cipherSize === 0 && session <= 32 && challenge <= 32 ? 'yes' : 'no';
}

/**
 * Returns the first offset from `from` on at which a ClientHello begins, or may begin, and whether it is in SSL 2.0
 * format. Pure.
 */
export function findHello(
  bytes: Buffer,
  from: number,
): { readonly at: number; readonly seen: 'more' | 'yes'; readonly isOld: boolean } | undefined {
  for (let at = from; at < bytes.length; at++) {
    const first = bytes[at] ?? 0;
    const isOld = first >= oldMark;
    // This excludes most bytes cheaply.
    if (!isOld && first !== tlsRecord.handshake) continue;
    if (isOld && (bytes[at + 2] ?? clientHello) !== clientHello) continue;
    const seen = isOld ? oldHelloAt(bytes.subarray(at)) : helloAt(bytes.subarray(at));
    if (seen !== 'no') return { at, seen, isOld };
  }
  return undefined;
}
