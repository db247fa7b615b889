/** Values that nsjs sends in the D-Bus wire format, by type. Little-endian, D-Bus specification "Message Protocol". */
export type DBusValue =
  | { readonly type: 's' | 'o' | 'g'; readonly value: string }
  | { readonly type: 'u'; readonly value: number }
  | { readonly type: 'b'; readonly value: boolean }
  | { readonly type: 'v'; readonly value: DBusValue }
  | { readonly type: 'a'; readonly of: string; readonly value: readonly DBusValue[] }
  | { readonly type: 'r'; readonly value: readonly DBusValue[] };

/** Writes values one after the other, each at the alignment of its type. */
class Writer {
  private readonly parts: Buffer[] = [];
  private size = 0;

  bytes(): Buffer {
    return Buffer.concat(this.parts);
  }

  align(to: number): void {
    const gap = (to - (this.size % to)) % to;
    if (gap > 0) this.raw(Buffer.alloc(gap));
  }

  raw(part: Buffer): void {
    this.parts.push(part);
    this.size += part.length;
  }

  word(value: number): void {
    this.align(4);
    const word = Buffer.alloc(4);
    word.writeUInt32LE(value);
    this.raw(word);
  }

  write(entry: DBusValue): void {
    switch (entry.type) {
      case 's':
      case 'o':
        this.word(Buffer.byteLength(entry.value));
        this.raw(Buffer.from(`${entry.value}\0`));
        break;
      case 'g':
        this.raw(Buffer.from([entry.value.length]));
        this.raw(Buffer.from(`${entry.value}\0`));
        break;
      case 'u':
        this.word(entry.value);
        break;
      case 'b':
        this.word(entry.value ? 1 : 0);
        break;
      case 'v':
        this.write({ type: 'g', value: signatureOf(entry.value) });
        this.write(entry.value);
        break;
      case 'a':
        this.array(entry.of, entry.value);
        break;
      case 'r':
        this.align(8);
        for (const field of entry.value) this.write(field);
    }
  }

  // The length counts from the first element, without the padding before it.
  private array(of: string, values: readonly DBusValue[]): void {
    this.word(0);
    const length = this.parts.at(-1);
    if (of.startsWith('(')) this.align(8);
    const start = this.size;
    for (const value of values) this.write(value);
    length?.writeUInt32LE(this.size - start);
  }
}

/** Returns the D-Bus type signature of a value. */
export function signatureOf(entry: DBusValue): string {
  if (entry.type === 'a') return `a${entry.of}`;
  if (entry.type === 'r') return `(${entry.value.map(signatureOf).join('')})`;
  return entry.type;
}

/** A method call. */
export interface MethodCall {
  readonly serial: number;
  readonly path: string;
  readonly destination?: string;
  readonly interface: string;
  readonly member: string;
  readonly body: readonly DBusValue[];
}

const fieldNumbers = { path: 1, interface: 2, member: 3, destination: 6, signature: 8 } as const;

export function encodeCall({ serial, path, destination, interface: owner, member, body }: MethodCall): Buffer {
  const content = new Writer();
  for (const value of body) content.write(value);
  const bytes = content.bytes();
  const header = new Writer();
  header.raw(Buffer.from([0x6c, 1, 0, 1])); // little-endian, a method call, no flags, version 1
  header.word(bytes.length);
  header.word(serial);
  const fields: readonly (readonly [number, DBusValue])[] = [
    [fieldNumbers.path, { type: 'o', value: path }],
    [fieldNumbers.interface, { type: 's', value: owner }],
    [fieldNumbers.member, { type: 's', value: member }],
    ...(destination === undefined ? [] : [[fieldNumbers.destination, { type: 's', value: destination }] as const]),
    ...(body.length === 0 ? [] : [[fieldNumbers.signature, { type: 'g', value: body.map(signatureOf).join('') }] as const]),
  ];
  const list = new Writer();
  for (const [number, value] of fields) {
    list.align(8);
    list.raw(Buffer.from([number]));
    list.write({ type: 'v', value });
  }
  // The array begins at offset 16, where its structs are already aligned.
  header.word(list.bytes().length);
  header.raw(list.bytes());
  header.align(8);
  return Buffer.concat([header.bytes(), bytes]);
}

/** The fields of a message that nsjs reads: whether it replies to a call, and how. */
export interface Reply {
  readonly size: number;
  readonly kind: 'return' | 'error' | 'other';
  readonly replyTo: number | undefined;
  readonly error: string | undefined;
  /** The first value of the body if it is a string: the error message. */
  readonly text: string | undefined;
}

const kinds = { 2: 'return', 3: 'error' } as const;
const fixedSize = 16;

/** Decodes the first message; undefined until the message is complete. */
export function decodeReply(bytes: Buffer): Reply | undefined {
  if (bytes.length < fixedSize) return undefined;
  const bodySize = bytes.readUInt32LE(4);
  const fieldsEnd = fixedSize + bytes.readUInt32LE(12);
  const bodyStart = Math.ceil(fieldsEnd / 8) * 8;
  const size = bodyStart + bodySize;
  if (bytes.length < size) return undefined;
  const { replyTo, error, signature } = decodeFields(bytes.subarray(0, fieldsEnd));
  const text = signature?.startsWith('s')
    ? bytes.toString('utf8', bodyStart + 4, bodyStart + 4 + bytes.readUInt32LE(bodyStart))
    : undefined;
  return { size, kind: kinds[bytes[1] as keyof typeof kinds] ?? 'other', replyTo, error, text };
}

interface Fields {
  replyTo?: number;
  error?: string;
  signature?: string;
}

// Each field is aligned to 8 bytes: its number, the signature of its value, the value. Only these types occur.
function decodeFields(bytes: Buffer): Fields {
  const fields: Fields = {};
  for (let at = fixedSize; at < bytes.length; at = Math.ceil(at / 8) * 8) {
    const number = bytes[at];
    const type = String.fromCharCode(bytes[at + 2] ?? 0);
    at += 4;
    if (type === 'g') {
      const length = bytes[at] ?? 0;
      if (number === 8) fields.signature = bytes.toString('latin1', at + 1, at + 1 + length);
      at += length + 2;
      continue;
    }
    const word = bytes.readUInt32LE(at);
    at += 4;
    if (type === 'u') {
      if (number === 5) fields.replyTo = word;
      continue;
    }
    if (number === 4) fields.error = bytes.toString('utf8', at, at + word);
    at += word + 1;
  }
  return fields;
}
