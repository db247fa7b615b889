// ClientHello messages of TLS, byte by byte.

const u16 = (value: number) => Buffer.of(value >> 8, value & 0xff);

/** Returns a TLS record. */
export const record = (type: number, content: Buffer, version = 0x0301): Buffer =>
  Buffer.concat([Buffer.of(type), u16(version), u16(content.length), content]);

/** Returns the body of the server_name extension: a list of names, each with its type. */
export function serverNames(names: readonly (readonly [type: number, name: string])[]): Buffer {
  const list = Buffer.concat(names.map(([type, name]) => Buffer.concat([Buffer.of(type), u16(name.length), Buffer.from(name, 'latin1')])));
  return Buffer.concat([u16(list.length), list]);
}

interface Hello {
  readonly names?: readonly (readonly [type: number, name: string])[];
  /** Further extensions, by number. */
  readonly extensions?: readonly (readonly [type: number, body: Buffer])[];
}

const ciphers = [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xc009, 0xc013];
// Curves, point formats and signature algorithms, which a server of TLS 1.2 requires.
const usual: readonly (readonly [number, Buffer])[] = [
  [10, Buffer.from('0006001d00170018', 'hex')],
  [11, Buffer.from('0100', 'hex')],
  [13, Buffer.from('000c040305030603040105010601', 'hex')],
];

/** Returns the ClientHello of a TLS 1.2 client, which a server answers with its certificate in clear text. */
export function clientHello({ names, extensions = [] }: Hello): Buffer {
  const all = [...(names ? [[0, serverNames(names)] as const] : []), ...usual, ...extensions];
  const block = Buffer.concat(all.map(([type, body]) => Buffer.concat([u16(type), u16(body.length), body])));
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 7),
    Buffer.of(0),
    u16(ciphers.length * 2),
    ...ciphers.map(u16),
    Buffer.of(1, 0),
    u16(block.length),
    block,
  ]);
  return Buffer.concat([Buffer.of(1, 0), u16(body.length), body]);
}
