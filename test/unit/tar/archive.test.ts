// Archives in memory: entries are read back as they were written, and malformed archives are errors.
import fc from 'fast-check';
import { blockSize, checksum, type TarEntry } from '../../../dist/tar/format';
import { readTar } from '../../../dist/tar/reader';
import { archiveEnd, encodeHeader, padding } from '../../../dist/tar/writer';

const plain: TarEntry = { path: 'f', type: 'file', mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 1_700_000_000_000 };

/** Returns an archive of entries with their contents. */
const archive = (...entries: readonly (readonly [Partial<TarEntry>, string?])[]): Buffer =>
  Buffer.concat([
    ...entries.flatMap(([entry, data = '']) => {
      const whole = { ...plain, ...entry, size: entry.size ?? Buffer.byteLength(data) };
      return [encodeHeader(whole), Buffer.from(data), padding(Buffer.byteLength(data))];
    }),
    archiveEnd(),
  ]);

async function* inParts(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(bytes: Buffer, size = 1000): Promise<readonly (readonly [TarEntry, string])[]> {
  const found: (readonly [TarEntry, string])[] = [];
  for await (const { entry, content } of readTar(inParts(bytes, size))) {
    const parts: Buffer[] = [];
    for await (const part of content) parts.push(part);
    found.push([entry, Buffer.concat(parts).toString()]);
  }
  return found;
}

/** Changes the header of an archive and corrects its checksum. */
function changed(bytes: Buffer, at: number, text: string): Buffer {
  const copy = Buffer.from(bytes);
  copy.write(text, at, 'latin1');
  copy.write(`${checksum(copy.subarray(0, blockSize)).toString(8).padStart(6, '0')}\x00 `, 148, 'latin1');
  return copy;
}

test('every entry is read as it was written, whatever the size of the chunks', async () => {
  const name = fc.string({ minLength: 1, maxLength: 150, unit: 'grapheme' }).map((text) => text.replace(/[\0/]/g, '_'));
  const number = fc.integer({ min: 0, max: 2 ** 31 });
  const common = {
    path: name,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: number,
    gid: number,
    mtime: number.map((seconds) => seconds * 1000),
  };
  const entry: fc.Arbitrary<Partial<TarEntry> & { data?: string }> = fc.oneof(
    fc.record({ ...common, type: fc.constantFrom('symlink', 'link'), linkPath: name }),
    fc.record({ ...common, type: fc.constantFrom('directory', 'fifo', 'character-device') }),
    fc.record({ ...common, data: fc.string({ maxLength: 1500 }) }),
    fc.record({ ...common, data: fc.string({ maxLength: 9 }), xattrs: fc.constant({ 'user.a': Buffer.from('b\0c') }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 5 }), fc.integer({ min: 1, max: 2000 }), async (made, size) => {
      const entries = made.map(({ data = '', ...given }) => [{ ...plain, ...given, size: Buffer.byteLength(data) }, data] as const);
      expect(await readAll(archive(...entries), size)).toEqual(entries);
    }),
    { numRuns: 60 },
  );
});

test('a reader that stops early or reads no content misses no entry', async () => {
  const paths: string[] = [];
  for await (const { entry, content } of readTar(
    inParts(archive([{ path: 'a' }, 'x'.repeat(3000)], [{ path: 'b' }, 'y'], [{ path: 'c' }]), 700),
  )) {
    paths.push(entry.path);
    if (entry.path === 'a') for await (const _ of content) break;
  }
  expect(paths).toEqual(['a', 'b', 'c']);
});

test('long names in the format of GNU tar are read', async () => {
  const long = 'n'.repeat(200);
  const gnu = (flag: string, text: string) =>
    Buffer.concat([
      changed(encodeHeader({ ...plain, path: '././@LongLink', size: text.length }), 156, flag),
      Buffer.from(text),
      padding(text.length),
    ]);
  const symlink = encodeHeader({ ...plain, path: 's', type: 'symlink', linkPath: 'short' });
  const [[entry] = []] = await readAll(Buffer.concat([gnu('L', `${long}\0`), gnu('K', `${long}2\0`), symlink, archiveEnd()]));
  expect(entry).toMatchObject({ path: long, linkPath: `${long}2` });
});

test('headers of other writers are read', async () => {
  const file = archive([{ path: 'f' }, 'data']);
  // ustar has a prefix before the name. V7 has no magic, so that the same bytes have no meaning.
  const prefixed = changed(file, 345, 'deep/down');
  expect((await readAll(prefixed))[0]?.[0].path).toBe('deep/down/f');
  expect((await readAll(changed(prefixed, 257, '\0\0\0\0\0')))[0]?.[0].path).toBe('f');
  // An entry whose name ends with a slash is a directory. The types NUL and '7' are files; 'V' is no entry.
  expect((await readAll(changed(archive([{ path: 'f' }]), 0, 'd/')))[0]?.[0].type).toBe('directory');
  for (const flag of ['\0', '7']) expect((await readAll(changed(file, 156, flag)))[0]?.[0].type).toBe('file');
  expect(await readAll(Buffer.concat([changed(file, 156, 'V').subarray(0, 2 * blockSize), archive([{ path: 'next' }])]))).toMatchObject([
    [{ path: 'next' }, ''],
  ]);
  // Global pax headers are skipped; numbers may be binary.
  const global = changed(encodeHeader({ ...plain, size: 0 }), 156, 'g');
  expect(await readAll(Buffer.concat([global, file]))).toHaveLength(1);
  expect((await readAll(changed(file, 108, '\x80\0\0\0\0\0\x01\x00')))[0]?.[0].uid).toBe(256);
});

const pax = (text: string) =>
  Buffer.concat([changed(encodeHeader({ ...plain, size: text.length }), 156, 'x'), Buffer.from(text), padding(text.length), archive([{}])]);

test.each<[string, Buffer, RegExp]>([
  ['a header that is cut', archive([{}]).subarray(0, 100), /in the middle of a header/],
  ['a checksum', Buffer.concat([Buffer.from('x'), archive([{}]).subarray(1)]), /checksum/],
  ['a file that is cut', archive([{}, 'x'.repeat(1000)]).subarray(0, 700), /in the middle of a file/],
  ['an extended header that is cut', pax('20 path=abcdefghijk\n').subarray(0, 520), /in the middle of an extended header/],
  ['an extended header that is too long', changed(pax('x'), 124, '00010000001'), /too large: 2097153 bytes/],
  ['a record without a length', pax('x path=a\n'), /is malformed/],
  ['a record that is longer than the header', pax('99 path=a\n'), /is malformed/],
  ['a record without a value', pax('10 pathab\n'), /is malformed/],
  ['a size that no file has', pax('12 size=1.5\n'), /invalid size/],
  ['a negative size', pax('11 size=-1\n'), /invalid size/],
  ['a number that is none', changed(archive([{}]), 108, '9999999'), /is not a number/],
  ['a number that is too large', changed(archive([{}]), 124, '\x80\xff\xff\xff\xff\xff\xff\xff'), /too large/],
])('%s is an error', async (_, bytes, message) => {
  await expect(readAll(bytes)).rejects.toMatchObject({ code: 'ERR_NSJS_ARCHIVE', message: expect.stringMatching(message) });
});

test('empty input is an archive without entries', async () => {
  expect(await readAll(Buffer.alloc(0))).toEqual([]);
});
