import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { unpackTar } from 'nsjs';
import { isRoot, rejection, testIf } from '../../support';
import { archive, type Made } from '../../support/archive';

const work = mkdtempSync(join(tmpdir(), 'nsjs-oci-'));

chmodSync(work, 0o755);

afterAll(() => {
  execFileSync('chmod', ['-R', 'u+rwX', work]);
  rmSync(work, { recursive: true, force: true });
});

let count = 0;

const fresh = (name: string) => join(work, `${name}-${count++}`);

const unpack = (bytes: Buffer, directory = fresh('root'), options = {}) => unpackTar(Readable.from([bytes]), directory, options);

describe('an archive', () => {
  test('becomes a directory with its files, links, modes, times and long names', async () => {
    const long = `d/${'n'.repeat(150)}/ü`;
    const directory = fresh('root');
    const answer = await unpack(
      archive(
        { path: 'd', type: 'directory', mode: 0o750 },
        { path: './d/f', data: 'hello', mode: 0o4755 },
        { path: 'd/hard', type: 'link', linkPath: 'd/f' },
        { path: 'd/soft', type: 'symlink', linkPath: '../../../etc/passwd' },
        { path: long, data: 'long' },
        { path: 'fifo', type: 'fifo' },
        { path: 'dev', type: 'character-device' },
      ),
      directory,
    );
    expect(answer).toMatchObject({ directory, entries: 7, skipped: 2 });
    expect(readFileSync(join(directory, 'd/hard'), 'utf8')).toBe('hello');
    expect(statSync(join(directory, 'd/f'))).toMatchObject({ nlink: 2, mtimeMs: 1_700_000_000_000 });
    expect(statSync(join(directory, 'd/f')).mode & 0o7777).toBe(0o755);
    expect(statSync(join(directory, 'd')).mode & 0o777).toBe(0o750);
    expect(readFileSync(join(directory, long), 'utf8')).toBe('long');
  });

  test('that tar(1) writes is unpacked without differences, also if it is gzipped', async () => {
    const source = fresh('source');
    mkdirSync(join(source, 'sub'), { recursive: true });
    writeFileSync(join(source, 'sub', `${'long'.repeat(40)}`), 'x'.repeat(100_000));
    symlinkSync('sub', join(source, 'link'));
    for (const format of ['gnu', 'pax', 'ustar', 'v7']) {
      if (format === 'v7' || format === 'ustar') rmSync(join(source, 'sub', `${'long'.repeat(40)}`), { force: true });
      for (const flag of ['', 'z']) {
        const file = fresh('tar');
        execFileSync('tar', [`-c${flag}f`, file, `--format=${format}`, '-C', source, '.']);
        const directory = fresh('root');
        await unpackTar(file, directory);
        execFileSync('diff', ['-r', '--no-dereference', source, directory]);
      }
    }
  });

  testIf(isRoot, 'root', 'keeps the owners of its entries, and is refused if an id is out of range', async () => {
    const directory = fresh('root');
    await unpack(archive({ path: 'f', uid: 33, gid: 44 }), directory);
    expect(statSync(join(directory, 'f'))).toMatchObject({ uid: 33, gid: 44 });
    expect(await rejection(unpack(archive({ path: 'f', uid: 70_000 })))).toMatchObject({ code: 'ERR_NSJS_ARCHIVE' });
  });

  test.each<[string, readonly Made[], RegExp]>([
    ['a path with ..', [{ path: 'a/../../evil', data: 'x' }], /contains '\.\.'/],
    ['an absolute path', [{ path: '/evil', data: 'x' }], /is absolute/],
    ['a hard link out of it', [{ path: 'x', type: 'link', linkPath: '../../../../etc/passwd' }], /contains '\.\.'/],
    ['a hard link to what is not there', [{ path: 'x', type: 'link', linkPath: 'none' }], /not a file/],
    [
      'a file for a directory',
      [
        { path: 'f', data: 'x' },
        { path: 'f/g', data: 'x' },
      ],
      /not a directory/,
    ],
    [
      'links in a circle',
      [
        { path: 'a', type: 'symlink', linkPath: 'b' },
        { path: 'b', type: 'symlink', linkPath: 'a' },
        { path: 'a/f', data: 'x' },
      ],
      /more than 40 symbolic links/,
    ],
    ['a whiteout of the directory itself', [{ path: '.wh...', data: '' }], /not a valid whiteout/],
  ])('with %s is refused and leaves no directory', async (_, entries, message) => {
    const directory = fresh('root');
    const error = await rejection(unpack(archive(...entries), directory));
    expect(error).toMatchObject({ code: 'ERR_NSJS_ARCHIVE', message: expect.stringMatching(message) });
    expect(existsSync(directory)).toBe(false);
  });

  test('that writes through its own symbolic link stays within the directory', async () => {
    const directory = fresh('root');
    const victim = fresh('victim');
    mkdirSync(victim);
    await unpack(
      archive(
        { path: 'out', type: 'symlink', linkPath: victim },
        { path: 'out/evil', data: 'x' },
        { path: 'up', type: 'symlink', linkPath: '../../..' },
        { path: 'up/evil2', data: 'x' },
      ),
      directory,
    );
    expect(execFileSync('ls', ['-A', victim], { encoding: 'utf8' })).toBe('');
    expect(readFileSync(join(directory, victim, 'evil'), 'utf8')).toBe('x');
    expect(existsSync(join(directory, 'evil2'))).toBe(true);
  });

  test('that exceeds maxSize or maxEntries is refused', async () => {
    const bomb = gzipSync(archive({ path: 'zeros', data: '\0'.repeat(20_000_000) }));
    expect(bomb.length).toBeLessThan(100_000);
    expect(await rejection(unpack(bomb, fresh('root'), { maxSize: '1M' }))).toMatchObject({
      code: 'ERR_NSJS_ARCHIVE',
      message: expect.stringContaining('1048576 bytes'),
    });
    const many = archive(...Array.from({ length: 50 }, (_, index) => ({ path: `f${index}` })));
    expect(await rejection(unpack(many, fresh('root'), { maxEntries: 20 }))).toMatchObject({ code: 'ERR_NSJS_ARCHIVE' });
  });

  test.each<[string, (whole: Buffer) => Buffer]>([
    ['cut short', (whole) => whole.subarray(0, 700)],
    ['with a wrong checksum', (whole) => Buffer.concat([Buffer.from('x'), whole.subarray(1)])],
    ['of noise', () => Buffer.alloc(4096, 0x5a)],
    ['gzipped and cut short', (whole) => gzipSync(whole).subarray(0, 40)],
  ])('%s is refused', async (_, spoil) => {
    expect(await rejection(unpack(spoil(archive({ path: 'file', data: 'x'.repeat(1000) }))))).toMatchObject({ code: 'ERR_NSJS_ARCHIVE' });
  });

  test('is not unpacked into an existing directory, which stays unchanged', async () => {
    const directory = fresh('root');
    mkdirSync(directory);
    expect(await rejection(unpack(archive({ path: 'f' }), directory))).toMatchObject({ code: 'EEXIST' });
    expect(existsSync(directory)).toBe(true);
  });
});

test('an archive in an unsupported compression format is refused with the name of the format', async () => {
  for (const [name, magic] of [
    ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
    ['bzip2', [0x42, 0x5a, 0x68, 0x39]],
  ] as const) {
    const error = await rejection(unpack(Buffer.concat([Buffer.from(magic), Buffer.alloc(100)])));
    expect(error).toMatchObject({ code: 'ERR_NSJS_ARCHIVE', message: expect.stringMatching(new RegExp(`${name}.*gzipped`)) });
  }
});

test('an archive whose stream ends early is refused', async () => {
  const file = fresh('file');
  writeFileSync(file, archive({ path: 'f', data: 'x'.repeat(5000) }).subarray(0, 2000));
  expect(await rejection(unpackTar(createReadStream(file), fresh('root')))).toMatchObject({ code: 'ERR_NSJS_ARCHIVE' });
});
