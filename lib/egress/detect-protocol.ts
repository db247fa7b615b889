import { METHODS } from 'node:http';
import { isIP } from 'node:net';
import { sentName } from '../features/egress-rules';
import { clientHello, helloAt, maxMajor, recordHeader, type Seen, tlsRecord } from './hello-shape';

/** Protocol of the first bytes of a connection. */
export type Greeting =
  /** Too few bytes to decide. */
  | { readonly kind: 'more' }
  | { readonly kind: 'tls'; readonly serverName?: string }
  | { readonly kind: 'http' }
  /** HTTP/2 in clear text, which nsjs does not parse. */
  | { readonly kind: 'http2' }
  /** No server interprets the bytes as TLS or HTTP. */
  | { readonly kind: 'other' }
  /** The bytes imitate another protocol or hide their own, so the host that they are for cannot be determined. */
  | { readonly kind: 'unreadable' };

/** Bytes of the longest first message that a legitimate client sends. */
const maxGreeting = 16 * 1024;

const alertSize = 2;
const unreadable: Greeting = { kind: 'unreadable' };
const more: Greeting = { kind: 'more' };
/** Maximum number of TLS records of a ClientHello. A legitimate client does not split it into more. */
const maxRecords = 16;
/**
 * Signature of the binary PROXY protocol. A server that expects this protocol treats the bytes that follow as another
 * connection.
 */
const proxySignature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const proxyStart = 5; // no other protocol begins with the first 5 bytes

/**
 * Detects the protocol of the first bytes from a client. With `isWeb`, bytes that are not TLS are treated as HTTP.
 * Pure.
 */
export function readGreeting(bytes: Buffer, isWeb: boolean): Greeting {
  if (bytes.length === 0) return more;
  const seen = recordAt(bytes);
  if (seen === 'yes' && bytes[0] !== tlsRecord.handshake) return unreadable;
  const greeting = seen === 'yes' ? readTls(bytes) : seen === 'more' ? more : (readOldTls(bytes) ?? readText(bytes, isWeb));
  // A client whose protocol is still unclear after that many bytes is hiding it.
  return greeting.kind === 'more' && bytes.length >= maxGreeting ? unreadable : greeting;
}

// Some servers ignore records before a ClientHello. Messages of other protocols begin with the same record types, but
// not with a TLS version.
function recordAt(bytes: Buffer): Seen {
  const [type = 0, major, , lengthHigh, length] = bytes;
  if (type < tlsRecord.changeCipherSpec || type > tlsRecord.last) return 'no';
  if (major === undefined) return 'more';
  if (major === 3) return 'yes';
  if (type === tlsRecord.handshake) return helloAt(bytes);
  // Go accepts alerts of any version.
  if (type !== tlsRecord.alert || major > maxMajor) return 'no';
  if (length === undefined) return 'more';
  return lengthHigh === 0 && length === alertSize ? 'yes' : 'no';
}

const preface = 'PRI * HTTP/2.0';
const proxyWord = 'PROXY ';
/** Start of a request line: a method (RFC 9110, 5.6.2) and the start of a target. */
const requestStart = /^[\w!#$%&'*+.^`|~-]+\s+(?:[/*]|[a-z][a-z0-9+.-]*:)/i;
/** Mark of a request line, for servers that accept words of any length and any blanks between them (RFC 9112, 3). */
export const requestMark = /HTTP\//i;
/** Marks that Node's parser accepts in place of `HTTP/`. */
export const otherMark = /(?:RTSP|ICE)\//i;
const control = /[\0-\x08\x0e-\x1b\x7f]/;
/** Blanks between words, including those that Python accepts. */
const blanks = /[\t\v\f\r \x1c-\x1f\x85\xa0]+/;
/**
 * Whether a complete line is an HTTP/0.9 request, which some servers answer: two words, either `GET` and any target or
 * another method and a path or URL. Pure.
 */
export function isOldRequest(line: string): boolean {
  const words = line.split(blanks).filter(Boolean);
  const [first = '', second = ''] = words;
  const isRequest = METHODS.includes(first.toUpperCase()) && /^[/*?]|:\/\//.test(second);
  return words.length === 2 && (isRequest || first === 'GET');
}

/** Whether a line, complete or not, is a text header of the PROXY protocol, which must not be passed on. Pure. */
export const isForProxy = (line: string): boolean => line.startsWith(proxyWord);

/**
 * Whether Node's parser treats the first line from a client as an HTTP request because of a mark other than `HTTP/`
 * (`RTSP/`, `ICE/`), which nothing else here recognizes. Pure.
 */
export function isForeignRequest(bytes: Buffer): boolean {
  const text = bytes.toString('latin1', firstNotBlank(bytes));
  const end = text.indexOf('\n');
  return otherMark.test(end < 0 ? text : text.slice(0, end));
}

/** Whether the first line from a client is still incomplete. Pure. */
export const isOpenLine = (bytes: Buffer): boolean => bytes.indexOf(10, firstNotBlank(bytes)) < 0;

/** Whether a stream begins with the binary header of the PROXY protocol. Pure. */
export const hasProxySignature = (bytes: Buffer): boolean =>
  bytes.length >= proxyStart &&
  bytes.subarray(0, proxySignature.length).equals(proxySignature.subarray(0, Math.min(bytes.length, proxySignature.length)));

function readText(bytes: Buffer, isWeb: boolean): Greeting {
  if (hasProxySignature(bytes)) return unreadable;
  const start = firstNotBlank(bytes);
  if (start === bytes.length) return more;
  const text = bytes.toString('latin1', start);
  if (text.startsWith(preface)) return { kind: 'http2' };
  if (preface.startsWith(text) || proxyWord.startsWith(text)) return more;
  if (isForProxy(text)) return unreadable;
  const end = text.indexOf('\n');
  const line = end < 0 ? text : text.slice(0, end);
  if (isWeb && otherMark.test(line)) return unreadable;
  if (isWeb || requestMark.test(line) || (end >= 0 && isOldRequest(line))) return { kind: 'http' };
  if (end >= 0) return { kind: 'other' };
  // ClientGuard watches an incomplete line in any case. Wait only for a line that may still become a request line.
  return control.test(line) || (text.length >= maxGreeting && !requestStart.test(line)) ? { kind: 'other' } : more;
}

// Servers ignore line breaks before a request; some ignore every character that their language treats as white space.
export function firstNotBlank(bytes: Buffer): number {
  let at = 0;
  while (at < bytes.length && [9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 0x85, 0xa0].includes(bytes[at] ?? 0)) at++;
  return at;
}

// An SSL 2.0 ClientHello, which carries no server name; RFC 5246, E.2. Its second byte is part of its length.
function readOldTls(bytes: Buffer): Greeting | undefined {
  const [first = 0, , type, major, minor] = bytes;
  if (first < 0x80) return undefined;
  if (type === undefined) return more;
  if (type !== clientHello) return undefined;
  if (major === undefined || (major === 0 && minor === undefined)) return more;
  return major === 3 || (major === 0 && minor === 2) ? unreadable : undefined;
}

// The ClientHello may be split into several records, with nothing between them and nothing else in them.
function readTls(bytes: Buffer): Greeting {
  let hello = Buffer.alloc(0);
  let records = 0;
  for (let at = 0; at < bytes.length; ) {
    if (++records > maxRecords) return unreadable;
    if (bytes[at] !== tlsRecord.handshake || (at + 1 < bytes.length && bytes[at + 1] !== 3)) return unreadable;
    if (at + recordHeader > bytes.length) break;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0) return unreadable;
    hello = Buffer.concat([hello, bytes.subarray(at + recordHeader, at + recordHeader + length)]);
    at += recordHeader + length;
    const found = readHello(hello);
    if (found.kind !== 'more') return found;
    if (at > bytes.length) break;
  }
  return more;
}

/** Reads handshake messages up to the end of the first, which must be a ClientHello with nothing after it. Pure. */
export function readHello(handshake: Buffer): Greeting {
  if (handshake.length === 0) return more;
  if (handshake[0] !== clientHello) return unreadable;
  if (handshake.length < 4) return more;
  const size = handshake.readUIntBE(1, 3);
  if (size > maxGreeting || handshake.length > 4 + size) return unreadable;
  if (handshake.length < 4 + size) return more;
  try {
    const serverName = readServerName(new Cursor(handshake.subarray(4)));
    return serverName === undefined ? { kind: 'tls' } : { kind: 'tls', serverName };
  } catch {
    return unreadable;
  }
}

const extensionTypes = { serverName: 0, encryptedHello: 0xfe0d } as const;
const hostName = 0;

// Throws for any deviation from the format: another parser could find a different name in it.
function readServerName(hello: Cursor): string | undefined {
  hello.skip(2 + 32); // version, random
  hello.skip(hello.number(1)); // session
  hello.skip(hello.number(2)); // ciphers
  hello.skip(hello.number(1)); // compression
  if (hello.left === 0) return undefined;
  const extensions = hello.take(hello.number(2));
  hello.end();
  let found: string | undefined;
  let isNamed = false;
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const body = extensions.take(extensions.number(2));
    // The effective name is then a different one, which only the server can read.
    if (type === extensionTypes.encryptedHello) throw new Error('an encrypted hello');
    if (type !== extensionTypes.serverName) continue;
    if (isNamed) throw new Error('several names');
    isNamed = true;
    found = readNameList(body);
  }
  return found;
}

function readNameList(body: Cursor): string | undefined {
  const list = body.take(body.number(2));
  body.end();
  if (list.number(1) !== hostName) throw new Error('a name of another type');
  const text = list.text(list.number(2));
  list.end();
  if (isIP(text) !== 0) return undefined;
  const name = sentName(text);
  if (name === undefined) throw new Error('no name of a host');
  return name;
}

/** Reads values one after another; throws RangeError past the end. */
class Cursor {
  private at = 0;

  constructor(private readonly bytes: Buffer) {}

  get left(): number {
    return this.bytes.length - this.at;
  }

  skip(count: number): void {
    this.take(count);
  }

  number(size: 1 | 2): number {
    return this.next(size).readUIntBE(0, size);
  }

  take(size: number): Cursor {
    return new Cursor(this.next(size));
  }

  text(size: number): string {
    return this.next(size).toString('latin1');
  }

  end(): void {
    if (this.left > 0) throw new RangeError('more than there should be');
  }

  private next(size: number): Buffer {
    if (size > this.left) throw new RangeError('past the end');
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }
}
