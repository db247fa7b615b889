import { NsError } from '../base/errors';
import { blockSize, checksum, type TarEntry, typeFlags, xattrPrefix } from './format';

const maxPax = 2 ** 20;

/** Reads bytes in parts of the requested size from a stream of parts of any size. */
class Source {
  private parts: Buffer[] = [];
  private held = 0;
  private readonly iterator: AsyncIterator<Uint8Array>;

  constructor(input: AsyncIterable<Uint8Array>) {
    this.iterator = input[Symbol.asyncIterator]();
  }

  /** Takes `count` bytes; fewer only at the end. */
  async take(count: number): Promise<Buffer> {
    while (this.held < count && (await this.more()));
    const all = this.parts.length === 1 && this.parts[0] ? this.parts[0] : Buffer.concat(this.parts);
    const taken = all.subarray(0, count);
    this.parts = [all.subarray(taken.length)];
    this.held -= taken.length;
    return taken;
  }

  /** Takes the bytes that are available, at most `most`; none at the end. */
  async some(most: number): Promise<Buffer> {
    if (this.held === 0) await this.more();
    return this.take(Math.min(most, this.held));
  }

  async end(): Promise<void> {
    await this.iterator.return?.();
  }

  private async more(): Promise<boolean> {
    const { done, value } = await this.iterator.next();
    if (done) return false;
    this.parts.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
    this.held += value.byteLength;
    return true;
  }
}

/** An entry and its content, which must be read or skipped before the next entry. */
export interface ReadEntry {
  readonly entry: TarEntry;
  readonly content: AsyncIterable<Buffer>;
}

const broken = (what: string): NsError => new NsError('ERR_NSJS_ARCHIVE', `tar: ${what}`, { hint: 'the archive is damaged or malicious' });

/** Reads an archive entry by entry. Throws NsError ERR_NSJS_ARCHIVE for an invalid archive. */
export async function* readTar(input: AsyncIterable<Uint8Array>): AsyncGenerator<ReadEntry> {
  const source = new Source(input);
  let extended: ReadonlyMap<string, Buffer> = new Map();
  try {
    for (;;) {
      const header = await source.take(blockSize);
      if (header.length === 0 || header.every((byte) => byte === 0)) return;
      if (header.length < blockSize) throw broken('it ends in the middle of a header');
      if (octal(header, 148, 8) !== checksum(header)) throw broken('a header has the wrong checksum');
      const flag = header.toString('latin1', 156, 157);
      if ('xgLK'.includes(flag) && flag !== '\0') {
        extended = new Map([...extended, ...(await readExtension(source, header, flag))]);
        continue;
      }
      const entry = toEntry(header, flag, extended);
      extended = new Map();
      if (!entry) {
        for await (const _ of content(source, sizeOf(header)));
        continue;
      }
      const bytes = content(source, entry.size);
      yield { entry, content: bytes };
      for await (const _ of bytes);
    }
  } finally {
    await source.end();
  }
}

async function* content(source: Source, size: number): AsyncGenerator<Buffer> {
  let left = size;
  try {
    while (left > 0) {
      const part = await source.some(left);
      if (part.length === 0) throw broken('it ends in the middle of a file');
      left -= part.length;
      yield part;
    }
  } finally {
    // A consumer that stops early leaves the rest of the content to be skipped.
    while (left > 0) {
      const part = await source.some(left);
      if (part.length === 0) break;
      left -= part.length;
    }
    await source.take((blockSize - (size % blockSize)) % blockSize);
  }
}

async function readExtension(source: Source, header: Buffer, flag: string): Promise<ReadonlyMap<string, Buffer>> {
  const size = sizeOf(header);
  if (size > maxPax) throw broken(`an extended header is too large: ${size} bytes`);
  const bytes = await source.take(size);
  await source.take((blockSize - (size % blockSize)) % blockSize);
  if (bytes.length < size) throw broken('it ends in the middle of an extended header');
  if (flag === 'L' || flag === 'K') return new Map([[flag === 'L' ? 'path' : 'linkpath', bytes.subarray(0, stringEnd(bytes, 0, size))]]);
  return flag === 'g' ? new Map() : paxRecords(bytes);
}

function paxRecords(bytes: Buffer): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(32, at);
    const length = Number(bytes.toString('latin1', at, space));
    const equal = bytes.indexOf(61, space);
    if (space < 0 || !Number.isInteger(length) || length < 5 || at + length > bytes.length || equal < 0 || equal >= at + length)
      throw broken('an extended header is malformed');
    found.set(bytes.toString('utf8', space + 1, equal), bytes.subarray(equal + 1, at + length - 1));
    at += length;
  }
  return found;
}

const types = new Map(Object.entries(typeFlags).map(([type, flag]) => [flag as string, type as TarEntry['type']]));

// Returns undefined for an entry that is no file, such as a volume label.
function toEntry(header: Buffer, flag: string, extended: ReadonlyMap<string, Buffer>): TarEntry | undefined {
  const type = flag === '\0' || flag === '7' ? 'file' : types.get(flag);
  if (type === undefined) return undefined;
  const text = (key: string, fallback: string) => extended.get(key)?.toString('utf8') ?? fallback;
  const number = (key: string, fallback: number) => {
    const value = extended.get(key);
    return value === undefined ? fallback : Number(value.toString('latin1'));
  };
  const prefix = header.toString('latin1', 257, 262) === 'ustar' ? field(header, 345, 155) : '';
  const path = text('path', prefix === '' ? field(header, 0, 100) : `${prefix}/${field(header, 0, 100)}`);
  const linkPath = text('linkpath', field(header, 157, 100));
  const isFile = type === 'file' && !path.endsWith('/');
  const size = isFile ? number('size', sizeOf(header)) : 0;
  if (!Number.isSafeInteger(size) || size < 0) throw broken('a file has an invalid size');
  const xattrs = [...extended].filter(([key]) => key.startsWith(xattrPrefix)).map(([key, value]) => [key.slice(xattrPrefix.length), value]);
  return {
    path: path.replace(/\/+$/, ''),
    type: type === 'file' && !isFile ? 'directory' : type,
    mode: octal(header, 100, 8) & 0o7777,
    uid: number('uid', octal(header, 108, 8)),
    gid: number('gid', octal(header, 116, 8)),
    size,
    mtime: number('mtime', octal(header, 136, 12)) * 1000,
    ...(type === 'link' || type === 'symlink' ? { linkPath } : {}),
    ...(xattrs.length > 0 ? { xattrs: Object.fromEntries(xattrs) as Record<string, Buffer> } : {}),
  };
}

const stringEnd = (bytes: Buffer, from: number, to: number): number => {
  const end = bytes.indexOf(0, from);
  return end < 0 || end > to ? to : end;
};

const field = (header: Buffer, at: number, length: number): string => header.toString('utf8', at, stringEnd(header, at, at + length));

const sizeOf = (header: Buffer): number => octal(header, 124, 12);

// Parses an octal number or, with the highest bit set, a big-endian binary number (GNU).
function octal(header: Buffer, at: number, length: number): number {
  const first = header[at] ?? 0;
  if ((first & 0x80) !== 0) {
    const value = header.subarray(at, at + length).reduce((sum, byte, index) => sum * 256 + (index === 0 ? byte & 0x7f : byte), 0);
    if (!Number.isSafeInteger(value)) throw broken('a number is too large');
    return value;
  }
  const text = header
    .toString('latin1', at, at + length)
    .replace(/[\0 ]+$/, '')
    .trim();
  if (!/^[0-7]*$/.test(text)) throw broken('a numeric field is not a number');
  return text === '' ? 0 : Number.parseInt(text, 8);
}
