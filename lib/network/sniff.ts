/** What the first bytes of a connection are. */
export type Greeting =
  /** Too few to tell. */
  | { readonly kind: 'more' }
  | { readonly kind: 'tls'; readonly serverName?: string }
  | { readonly kind: 'http' }
  /** HTTP/2 in clear text, which nobody here reads. */
  | { readonly kind: 'http2' }
  | { readonly kind: 'other' };

/** More than this no honest greeting has. */
export const maxGreeting = 16 * 1024;

const handshake = 22;
const clientHello = 1;
const serverNameExtension = 0;
const recordHeader = 5;

/** Tells what a client has sent first. `isWeb`: what is not TLS is taken for HTTP. */
export function readGreeting(bytes: Buffer, isWeb: boolean): Greeting {
  if (bytes.length === 0) return { kind: 'more' };
  if (bytes[0] === handshake) return readTls(bytes);
  return readText(bytes, isWeb);
}

const preface = 'PRI * HTTP/2.0';

function readText(bytes: Buffer, isWeb: boolean): Greeting {
  // Servers overlook line breaks before a request.
  const text = bytes.toString('latin1').replace(/^[\r\n]+/, '');
  if (text.startsWith(preface)) return { kind: 'http2' };
  if (preface.startsWith(text)) return { kind: 'more' };
  if (isWeb) return { kind: 'http' };
  const line = /^[^\n]*/.exec(text)?.[0] ?? '';
  const isWhole = line.length < text.length;
  if (/^\S+[ \t]+.*HTTP\/\d/i.test(line)) return { kind: 'http' };
  // What may still become a request line: a word of letters, then a space.
  const isOpen = /^[A-Za-z-]{1,32}(?:[ \t].*)?$/.test(line.replace(/\r$/, ''));
  return isOpen && !isWhole && bytes.length < maxGreeting ? { kind: 'more' } : { kind: 'other' };
}

// The ClientHello may be cut into several records.
function readTls(bytes: Buffer): Greeting {
  const parts: Buffer[] = [];
  for (let at = 0; at + recordHeader <= bytes.length; ) {
    if (bytes[at] !== handshake || bytes[at + 1] !== 3) return { kind: 'other' };
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0) return { kind: 'other' };
    parts.push(bytes.subarray(at + recordHeader, at + recordHeader + length));
    at += recordHeader + length;
  }
  const hello = Buffer.concat(parts);
  if (hello.length >= 1 && hello[0] !== clientHello) return { kind: 'other' };
  const size = hello.length >= 4 ? hello.readUIntBE(1, 3) : maxGreeting;
  if (size > maxGreeting) return hello.length < 4 ? { kind: 'more' } : { kind: 'other' };
  if (hello.length < 4 + size) return { kind: 'more' };
  const serverName = readServerName(new Cursor(hello.subarray(4, 4 + size)));
  return serverName === undefined ? { kind: 'tls' } : { kind: 'tls', serverName };
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
