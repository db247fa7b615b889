/** What the first bytes of a connection are. */
export type Greeting =
  /** Too few to tell. */
  | { readonly kind: 'more' }
  | { readonly kind: 'tls'; readonly serverName?: string }
  | { readonly kind: 'http' }
  /** HTTP/2 in clear text, which nobody here reads. */
  | { readonly kind: 'http2' }
  | { readonly kind: 'other' }
  /** It pretends to be what it is not, or hides what it is: nobody can say whom it is for. */
  | { readonly kind: 'unreadable' };

/** More than this no honest greeting has. */
export const maxGreeting = 16 * 1024;

/** First byte of what a TLS client sends first. */
export const tlsHandshake = 22;
const clientHello = 1;
const serverNameExtension = 0;
const recordHeader = 5;
/** In more pieces nobody sends a greeting who wants it to be read. */
const maxRecords = 16;

/** Tells what a client has sent first. `isWeb`: what is not TLS is taken for HTTP. */
export function readGreeting(bytes: Buffer, isWeb: boolean): Greeting {
  if (bytes.length === 0) return { kind: 'more' };
  const greeting = bytes[0] === tlsHandshake ? readTls(bytes) : (readOldTls(bytes) ?? readText(bytes, isWeb));
  // Who has said nothing by then does not want to be understood.
  return greeting.kind === 'more' && bytes.length >= maxGreeting ? { kind: 'unreadable' } : greeting;
}

const preface = 'PRI * HTTP/2.0';
/** How a request begins: a method (RFC 9110, 5.6.2), and for what. */
const requestStart = /^[\w!#$%&'*+.^`|~-]+\s+(?:[/*]|[a-z][a-z0-9+.-]*:)/i;
/** A request of HTTP/0.9 that names a host, which is for whom some servers take it. */
const oldRequest = /^\S+\s+[a-z][a-z0-9+.-]*:\/\/\S*\s*$/i;
/** No server overlooks these. */
const control = /[\0-\x08\x0e-\x1b\x7f]/;

function readText(bytes: Buffer, isWeb: boolean): Greeting {
  const start = firstNotBlank(bytes);
  if (start === bytes.length) return { kind: 'more' };
  const text = bytes.toString('latin1', start);
  if (text.startsWith(preface)) return { kind: 'http2' };
  if (preface.startsWith(text)) return { kind: 'more' };
  if (isWeb) return { kind: 'http' };
  // Servers take words of any length, and more than spaces between them (RFC 9112, 3): what says HTTP is for them to read.
  const end = text.indexOf('\n');
  const line = end < 0 ? text : text.slice(0, end);
  if (/HTTP\//i.test(line) || (end >= 0 && oldRequest.test(line))) return { kind: 'http' };
  if (end >= 0 || control.test(line)) return { kind: 'other' };
  // What may still become a request line is waited for.
  return text.length < maxGreeting || requestStart.test(line) ? { kind: 'more' } : { kind: 'other' };
}

// Servers overlook line breaks before a request, and some of them whatever their language takes for a space.
function firstNotBlank(bytes: Buffer): number {
  let at = 0;
  while (at < bytes.length && [9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 0x85, 0xa0].includes(bytes[at] ?? 0)) at++;
  return at;
}

// A ClientHello of SSL 2.0, in which nothing says for whom it is; RFC 5246, E.2.
function readOldTls([first = 0, , type = clientHello, major, minor]: Buffer): Greeting | undefined {
  if (first < 0x80 || type !== clientHello) return undefined;
  if (major === undefined || (major === 0 && minor === undefined)) return { kind: 'more' };
  return major === 3 || (major === 0 && minor === 2) ? { kind: 'unreadable' } : undefined;
}

// The ClientHello may be cut into several records; what comes behind it is none of it.
function readTls(bytes: Buffer): Greeting {
  let hello = Buffer.alloc(0);
  let records = 0;
  for (let at = 0; at < bytes.length; ) {
    if (++records > maxRecords) return { kind: 'unreadable' };
    if (bytes[at] !== tlsHandshake || (at + 1 < bytes.length && bytes[at + 1] !== 3)) return { kind: 'unreadable' };
    if (at + recordHeader > bytes.length) break;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0) return { kind: 'unreadable' };
    hello = Buffer.concat([hello, bytes.subarray(at + recordHeader, at + recordHeader + length)]);
    at += recordHeader + length;
    if (hello.length > 0 && hello[0] !== clientHello) return { kind: 'unreadable' };
    const size = hello.length >= 4 ? hello.readUIntBE(1, 3) : undefined;
    if (size !== undefined && size > maxGreeting) return { kind: 'unreadable' };
    if (size === undefined || hello.length < 4 + size) continue;
    const serverName = readServerName(new Cursor(hello.subarray(4, 4 + size)));
    return serverName === undefined ? { kind: 'tls' } : { kind: 'tls', serverName };
  }
  return { kind: 'more' };
}

function readServerName(hello: Cursor): string | undefined {
  hello.skip(2 + 32); // version, random
  hello.skip(hello.number(1)); // session
  hello.skip(hello.number(2)); // ciphers
  hello.skip(hello.number(1)); // compression
  const extensions = hello.take(hello.number(2));
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const body = extensions.take(extensions.number(2));
    if (type !== serverNameExtension) continue;
    const list = body.take(body.number(2));
    if (list.number(1) !== 0) return undefined;
    return list.text(list.number(2));
  }
  return undefined;
}

/** Reads on from a place; past the end there are zeros. */
class Cursor {
  private at = 0;

  constructor(private readonly bytes: Buffer) {}

  get left(): number {
    return Math.max(0, this.bytes.length - this.at);
  }

  skip(count: number): void {
    this.at += count;
  }

  number(size: 1 | 2): number {
    const { at } = this;
    this.at += size;
    return at + size > this.bytes.length ? 0 : this.bytes.readUIntBE(at, size);
  }

  take(size: number): Cursor {
    const part = new Cursor(this.bytes.subarray(this.at, this.at + size));
    this.at += size;
    return part;
  }

  text(size: number): string {
    return this.bytes.toString('latin1', this.at, this.at + size);
  }
}
