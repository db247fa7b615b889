// Damaged input from the kernel, archives and images.
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { NsError } from 'nsjs';
import { parseSubids } from '../../../dist/host/subids';
import { blobPath, parseConfig, parseDescriptor } from '../../../dist/oci/layout';
import { checkPath } from '../../../dist/oci/unpack';
import { parseMap, parseMountinfo, parseStatus } from '../../../dist/report/kernel-facts';
import { readProfile } from '../../../dist/seccomp/oci';
import { readTar } from '../../../dist/tar/reader';
import { archiveEnd, encodeHeader, padding } from '../../../dist/tar/writer';

const line = '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue';
/** A text with random changes. */
const broken = (text: string) =>
  fc
    .array(fc.tuple(fc.nat(text.length), fc.string({ maxLength: 5 })), { maxLength: 6 })
    .map((changes) => changes.reduce((all, [at, part]) => all.slice(0, at) + part + all.slice(at + part.length), text));

const onlyTyped = (act: () => unknown): void => {
  try {
    act();
  } catch (error) {
    if (!(error instanceof NsError) && !/^Option(Range)?Error$/.test((error as Error).name)) throw error;
  }
};

test('mountinfo, status, maps and subuid: any text is parsed, and malformed lines are skipped', () => {
  fc.assert(
    fc.property(fc.oneof(broken(`${line}\n${line}`), fc.string()), (text) => {
      for (const { target, flags } of parseMountinfo(text)) expect([typeof target, Array.isArray(flags)]).toEqual(['string', true]);
      parseMap(text);
      parseSubids(text, 'user', 1000);
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(
      broken('CapInh:\t0000000000000000\nCapEff:\t00\nNoNewPrivs:\t1\nGroups:\t0 1 \n').filter((text) =>
        /^Cap\w+:\s*[0-9a-f]*$/m.test(text),
      ),
      (text) => {
        try {
          parseStatus(text);
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError);
        }
      },
    ),
  );
  expect(parseMountinfo(line)).toEqual([{ target: '/mnt2', root: '/mnt1', type: 'ext3', flags: ['rw', 'noatime'] }]);
});

test('any JSON in an image is parsed or refused with a typed error', () => {
  const value = fc.anything({ maxDepth: 3, withNullPrototype: false });
  fc.assert(
    fc.property(value, (given) => onlyTyped(() => parseDescriptor(given, 'it'))),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.record({ config: value, rootfs: value }, { requiredKeys: [] }), (given) => onlyTyped(() => parseConfig(given))),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.string(), (digest) =>
      onlyTyped(() => expect(blobPath('/layout', digest)).toMatch(/^\/layout\/blobs\/sha256\/[0-9a-f]{64}$/)),
    ),
  );
  fc.assert(
    fc.property(
      fc.record(
        { defaultAction: fc.constantFrom('SCMP_ACT_ALLOW', 'SCMP_ACT_ERRNO', 'x'), syscalls: value, archMap: value, flags: value },
        { requiredKeys: [] },
      ),
      (given) => onlyTyped(() => readProfile(given, 'seccomp', 'x64')),
    ),
    { numRuns: 2000 },
  );
});

test('a path of an archive never leads out of its directory', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('..', '.', '', 'a', 'b', '\0', '...', '.wh.a'), { maxLength: 6 }).map((parts) => parts.join('/')),
      (given) =>
        onlyTyped(() => {
          const path = checkPath(given);
          expect(path.split('/')).not.toContain('..');
          expect(path.startsWith('/')).toBe(false);
        }),
    ),
    { numRuns: 2000 },
  );
});

const whole = Buffer.concat([
  encodeHeader({ path: 'directory', type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0, mtime: 0 }),
  encodeHeader({
    path: `directory/${'long'.repeat(50)}`,
    type: 'file',
    mode: 0o644,
    uid: 3_000_000_000,
    gid: 0,
    size: 5,
    mtime: 0,
    xattrs: { 'user.x': Buffer.from([0, 255]) },
  }),
  Buffer.from('hello'),
  padding(5),
  archiveEnd(),
]);

test('a damaged archive is a typed error or has other entries; the reader never hangs and never reads beyond the end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 8 }),
      fc.nat(whole.length),
      fc.integer({ min: 1, max: 2000 }),
      async (changes, length, part) => {
        const bytes = Buffer.from(whole);
        for (const [at, byte] of changes) bytes[at] = byte;
        const cut = bytes.subarray(0, length);
        const parts = Array.from({ length: Math.ceil(cut.length / part) }, (_, index) => cut.subarray(index * part, (index + 1) * part));
        let total = 0;
        try {
          for await (const { entry, content } of readTar(Readable.from(parts))) {
            expect(entry.size).toBeGreaterThanOrEqual(0);
            for await (const piece of content) total += piece.length;
          }
        } catch (error) {
          if (!(error instanceof NsError)) throw error;
        }
        expect(total).toBeLessThanOrEqual(cut.length);
      },
    ),
    { numRuns: 1500 },
  );
});

test('entries are read back as they were written', async () => {
  const name = fc
    .string({ minLength: 1, maxLength: 300, unit: fc.constantFrom('a', 'ü', '-', ' ', '.', '😀') })
    .filter((text) => !/^\.+$/.test(text));
  const entry = fc.record({
    path: name,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
    data: fc.uint8Array({ maxLength: 2000 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 5 }), async (entries) => {
      const bytes = Buffer.concat([
        ...entries.flatMap(({ data, ...rest }) => [
          encodeHeader({ ...rest, type: 'file', gid: 0, size: data.length, mtime: 0 }),
          Buffer.from(data),
          padding(data.length),
        ]),
        archiveEnd(),
      ]);
      const read: unknown[] = [];
      for await (const { entry: found, content } of readTar(Readable.from([bytes]))) {
        const parts: Buffer[] = [];
        for await (const piece of content) parts.push(piece);
        read.push({ path: found.path, mode: found.mode, uid: found.uid, data: Uint8Array.from(Buffer.concat(parts)) });
      }
      expect(read).toEqual(entries.map(({ path, mode, uid, data }) => ({ path, mode, uid, data: Uint8Array.from(data) })));
    }),
    { numRuns: 300 },
  );
});
