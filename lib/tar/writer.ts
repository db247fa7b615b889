import { blockSize, checksum, type TarEntry, typeFlags, xattrPrefix } from './format';

const nameSize = 100;
const maxOctal = 0o7777777;
const maxSize = 0o77777777777;

/** Encodes the header blocks of an entry: a pax header comes first if a value does not fit the plain header. */
export function encodeHeader(entry: TarEntry): Buffer {
  const records = paxRecords(entry);
  const pax =
    records.length === 0
      ? []
      : [plainHeader({ ...entry, path: 'PaxHeader', type: 'file', size: records.length, mode: 0o644 }, 'x'), padded(records)];
  return Buffer.concat([...pax, plainHeader(entry, typeFlags[entry.type])]);
}

/** Zeros that fill the last block of a file. */
export const padding = (size: number): Buffer => Buffer.alloc((blockSize - (size % blockSize)) % blockSize);

/** The end of an archive. */
export const archiveEnd = (): Buffer => Buffer.alloc(2 * blockSize);

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, padding(bytes.length)]);

function paxRecords({ path, type, size, uid, gid, linkPath = '', xattrs = {} }: TarEntry): Buffer {
  const name = type === 'directory' ? `${path}/` : path;
  const wanted: (readonly [string, string | Buffer])[] = [
    ...(Buffer.byteLength(name) > nameSize || !isAscii(name) ? [['path', name] as const] : []),
    ...(Buffer.byteLength(linkPath) > nameSize || !isAscii(linkPath) ? [['linkpath', linkPath] as const] : []),
    ...(size > maxSize ? [['size', `${size}`] as const] : []),
    ...(uid > maxOctal ? [['uid', `${uid}`] as const] : []),
    ...(gid > maxOctal ? [['gid', `${gid}`] as const] : []),
    ...Object.entries(xattrs).map(([key, value]) => [`${xattrPrefix}${key}`, value] as const),
  ];
  return Buffer.concat(wanted.map(([key, value]) => paxRecord(key, Buffer.from(value))));
}

// "<length> <key>=<value>\n", where the length counts itself.
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.concat([Buffer.from(`${length}`), rest]);
}

const isAscii = (text: string): boolean => Buffer.byteLength(text) === text.length;

function plainHeader({ path, type, mode, uid, gid, size, mtime, linkPath = '' }: TarEntry, flag: string): Buffer {
  const header = Buffer.alloc(blockSize);
  const octal = (value: number, at: number, length: number) =>
    header.write(
      Math.min(value, 8 ** (length - 1) - 1)
        .toString(8)
        .padStart(length - 1, '0'),
      at,
      'latin1',
    );
  header.write(type === 'directory' ? `${path}/` : path, 0, nameSize, 'utf8');
  octal(mode & 0o7777, 100, 8);
  octal(uid, 108, 8);
  octal(gid, 116, 8);
  octal(size, 124, 12);
  octal(Math.max(0, Math.floor(mtime / 1000)), 136, 12);
  header.write(flag, 156, 'latin1');
  header.write(linkPath, 157, nameSize, 'utf8');
  header.write('ustar\x0000', 257, 'latin1');
  header.write(`${checksum(header).toString(8).padStart(6, '0')}\x00 `, 148, 'latin1');
  return header;
}
