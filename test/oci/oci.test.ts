// Root file systems from archives and images, and what is written above them.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
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
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { Sandbox, spawnIsolated, unpackImage, unpackTar } from 'nsjs';
import type { TarEntry } from '../../dist/tar/format';
import { readTar } from '../../dist/tar/reader';
import { archiveEnd, encodeHeader, padding } from '../../dist/tar/writer';
import { isRoot, rejection, testIf } from '../support';

const busybox = ['/usr/bin/busybox', '/bin/busybox'].find(existsSync);
const work = mkdtempSync(join(tmpdir(), 'nsjs-oci-'));
chmodSync(work, 0o755);
afterAll(() => {
  execFileSync('chmod', ['-R', 'u+rwX', work]);
  rmSync(work, { recursive: true, force: true });
});
let count = 0;
const fresh = (name: string) => join(work, `${name}-${count++}`);

type Made = Partial<TarEntry> & { readonly path: string; readonly data?: string };

/** An archive of these entries, written without asking whether they make sense. */
function archive(...entries: readonly Made[]): Buffer {
  const parts = entries.flatMap(({ data = '', ...entry }) => {
    const bytes = Buffer.from(data);
    const whole: TarEntry = { type: 'file', mode: 0o644, uid: 0, gid: 0, size: bytes.length, mtime: 1_700_000_000_000, ...entry };
    return [encodeHeader(whole), bytes, padding(whole.size)];
  });
  return Buffer.concat([...parts, archiveEnd()]);
}

const unpack = (bytes: Buffer, folder = fresh('root'), options = {}) => unpackTar(Readable.from([bytes]), folder, options);

describe('an archive', () => {
  test('becomes a folder: files, folders, links, modes, times, long names', async () => {
    const long = `d/${'n'.repeat(150)}/ü`;
    const folder = fresh('root');
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
      folder,
    );
    expect(answer).toMatchObject({ folder, entries: 7, skipped: 2 });
    expect(readFileSync(join(folder, 'd/hard'), 'utf8')).toBe('hello');
    expect(statSync(join(folder, 'd/f'))).toMatchObject({ nlink: 2, mtimeMs: 1_700_000_000_000 });
    expect(statSync(join(folder, 'd/f')).mode & 0o7777).toBe(0o755);
    expect(statSync(join(folder, 'd')).mode & 0o777).toBe(0o750);
    expect(readFileSync(join(folder, long), 'utf8')).toBe('long');
  });

  test('is the same one that tar(1) writes, gzipped as well', async () => {
    const source = fresh('source');
    mkdirSync(join(source, 'sub'), { recursive: true });
    writeFileSync(join(source, 'sub', `${'long'.repeat(40)}`), 'x'.repeat(100_000));
    symlinkSync('sub', join(source, 'link'));
    for (const format of ['gnu', 'pax', 'ustar', 'v7']) {
      if (format === 'v7' || format === 'ustar') rmSync(join(source, 'sub', `${'long'.repeat(40)}`), { force: true });
      for (const flag of ['', 'z']) {
        const file = fresh('tar');
        execFileSync('tar', [`-c${flag}f`, file, `--format=${format}`, '-C', source, '.']);
        const folder = fresh('root');
        await unpackTar(file, folder);
        execFileSync('diff', ['-r', '--no-dereference', source, folder]);
      }
    }
  });

  testIf(isRoot, 'root', 'keeps the owners it names, and no others', async () => {
    const folder = fresh('root');
    await unpack(archive({ path: 'f', uid: 33, gid: 44 }), folder);
    expect(statSync(join(folder, 'f'))).toMatchObject({ uid: 33, gid: 44 });
    expect(await rejection(unpack(archive({ path: 'f', uid: 70_000 })))).toMatchObject({ code: 'ERR_NSJS_ARCHIVE' });
  });

  test.each<[string, readonly Made[], RegExp]>([
    ['a path with ..', [{ path: 'a/../../evil', data: 'x' }], /holds '\.\.'/],
    ['an absolute path', [{ path: '/evil', data: 'x' }], /is absolute/],
    ['a hard link out of it', [{ path: 'x', type: 'link', linkPath: '../../../../etc/passwd' }], /holds '\.\.'/],
    ['a hard link to what is not there', [{ path: 'x', type: 'link', linkPath: 'none' }], /no file/],
    [
      'a file for a folder',
      [
        { path: 'f', data: 'x' },
        { path: 'f/g', data: 'x' },
      ],
      /no folder/,
    ],
    [
      'links in a circle',
      [
        { path: 'a', type: 'symlink', linkPath: 'b' },
        { path: 'b', type: 'symlink', linkPath: 'a' },
        { path: 'a/f', data: 'x' },
      ],
      /too many links/,
    ],
    ['a whiteout of the folder itself', [{ path: '.wh...', data: '' }], /no whiteout/],
  ])('with %s is refused, and nothing of it stays', async (_, entries, message) => {
    const folder = fresh('root');
    const error = await rejection(unpack(archive(...entries), folder));
    expect(error).toMatchObject({ code: 'ERR_NSJS_ARCHIVE', message: expect.stringMatching(message) });
    expect(existsSync(folder)).toBe(false);
  });

  test('that writes through its own link writes inside all the same', async () => {
    const folder = fresh('root');
    const victim = fresh('victim');
    mkdirSync(victim);
    await unpack(
      archive(
        { path: 'out', type: 'symlink', linkPath: victim },
        { path: 'out/evil', data: 'x' },
        { path: 'up', type: 'symlink', linkPath: '../../..' },
        { path: 'up/evil2', data: 'x' },
      ),
      folder,
    );
    expect(execFileSync('ls', ['-A', victim], { encoding: 'utf8' })).toBe('');
    expect(readFileSync(join(folder, victim, 'evil'), 'utf8')).toBe('x');
    expect(existsSync(join(folder, 'evil2'))).toBe(true);
  });

  test('that grows past its limits is refused', async () => {
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

  test('into a folder that is there is an error that leaves it alone', async () => {
    const folder = fresh('root');
    mkdirSync(folder);
    expect(await rejection(unpack(archive({ path: 'f' }), folder))).toMatchObject({ code: 'EEXIST' });
    expect(existsSync(folder)).toBe(true);
  });
});

/** A layout of these layers, as registries and builders write it. */
function layout(layers: readonly Buffer[], change: (blobs: Map<string, Buffer>) => void = () => {}): string {
  const folder = fresh('layout');
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
  const blobs = new Map<string, Buffer>();
  const digest = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const add = (bytes: Buffer, mediaType: string) => {
    blobs.set(digest(bytes), bytes);
    return { mediaType, digest: digest(bytes), size: bytes.length };
  };
  const json = (value: unknown, mediaType: string) => add(Buffer.from(JSON.stringify(value)), mediaType);
  const config = json(
    {
      architecture: 'amd64',
      os: 'linux',
      config: { Env: ['PATH=/bin', 'A=b'], Cmd: ['/bin/sh'], WorkingDir: '/root' },
      rootfs: { type: 'layers', diff_ids: layers.map(digest) },
    },
    'application/vnd.oci.image.config.v1+json',
  );
  const manifest = json(
    { schemaVersion: 2, config, layers: layers.map((layer) => add(gzipSync(layer), 'application/vnd.oci.image.layer.v1.tar+gzip')) },
    'application/vnd.oci.image.manifest.v1+json',
  );
  change(blobs);
  for (const [name, bytes] of blobs) writeFileSync(join(folder, 'blobs/sha256', name.slice(7)), bytes);
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(folder, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }] }),
  );
  return folder;
}

describe('an image', () => {
  const base = archive(
    { path: 'etc', type: 'directory', mode: 0o755 },
    { path: 'etc/a', data: '1' },
    { path: 'etc/b', data: '2' },
    { path: 'opt/x/y', data: '3' },
  );

  test('is its layers in order, with what they take away', async () => {
    const second = archive(
      { path: 'etc/.wh.a' },
      { path: 'etc/c', data: 'new' },
      { path: 'opt/x/own', data: '4' },
      { path: 'opt/x/.wh..wh..opq' },
    );
    const folder = fresh('image');
    const image = await unpackImage(layout([base, second]), folder, { reference: 'latest' });
    expect(image.config).toMatchObject({ env: ['PATH=/bin', 'A=b'], cmd: ['/bin/sh'], workingDir: '/root' });
    expect(execFileSync('find', ['.', '-type', 'f'], { cwd: folder, encoding: 'utf8' }).trim().split('\n').sort()).toEqual([
      './etc/b',
      './etc/c',
      './opt/x/own',
    ]);
  });

  test.each<[string, (blobs: Map<string, Buffer>) => void]>([
    [
      'a blob of another content',
      (blobs) => {
        for (const [name, bytes] of blobs) if (bytes[0] === 0x1f) blobs.set(name, gzipSync(archive({ path: 'evil', data: 'x' })));
      },
    ],
    [
      'a blob that is missing',
      (blobs) => {
        for (const [name, bytes] of blobs) if (bytes[0] === 0x1f) blobs.delete(name);
      },
    ],
    [
      'a manifest that was changed',
      (blobs) => {
        for (const [name, bytes] of blobs)
          if (bytes.includes('"layers"')) blobs.set(name, Buffer.from(bytes.toString().replace('"schemaVersion":2', '"schemaVersion":3')));
      },
    ],
  ])('with %s is refused', async (_, change) => {
    const folder = fresh('image');
    const error = await rejection(unpackImage(layout([base], change), folder));
    expect(['ERR_NSJS_ARCHIVE', 'ENOENT']).toContain(error.code);
    expect(existsSync(folder)).toBe(false);
  });

  test('whose digest is a path is refused', async () => {
    const folder = layout([base]);
    writeFileSync(join(folder, 'index.json'), JSON.stringify({ manifests: [{ digest: 'sha256:../../../etc/passwd', size: 1 }] }));
    expect(await rejection(unpackImage(folder, fresh('image')))).toMatchObject({
      code: 'ERR_NSJS_ARCHIVE',
      message: expect.stringContaining('digest'),
    });
  });
});

testIf(busybox !== undefined, 'busybox', 'a root file system runs, its changes are listed, exported and run elsewhere', async () => {
  const source = fresh('busybox');
  for (const name of ['bin', 'etc', 'tmp', 'var/lib']) mkdirSync(join(source, name), { recursive: true });
  copyFileSync(busybox ?? '', join(source, 'bin/busybox'));
  chmodSync(join(source, 'bin/busybox'), 0o755);
  for (const applet of ['sh', 'ls', 'cat', 'rm', 'mkdir', 'id', 'ln', 'chown', 'mv']) symlinkSync('busybox', join(source, 'bin', applet));
  // As images have it: what `dev` mounts must not be made in there.
  mkdirSync(join(source, 'dev'));
  symlinkSync('/proc/self/fd', join(source, 'dev/fd'));
  writeFileSync(join(source, 'etc/os-release'), 'NAME=busybox\n');
  writeFileSync(join(source, 'var/lib/old'), 'old');
  const tar = execFileSync('tar', ['-c', '-C', source, '.'], { maxBuffer: 2 ** 28 });

  const folder = fresh('rootfs');
  await unpackImage(layout([tar]), folder);
  const mounts = [
    { type: 'proc', target: '/proc' },
    { type: 'dev', target: '/dev' },
  ] as const;
  const ids = isRoot ? { user: { ids: 'range' } as const } : {};
  const sandbox = await Sandbox.open({ preset: 'container', ...ids, root: { lower: folder, size: '32M' }, mounts });
  const run = await sandbox.spawn('/bin/sh', [
    '-c',
    'id -u; mkdir -p /var/lib/pkg; echo 1.0 > /var/lib/pkg/version; rm /var/lib/old; echo more >> /etc/os-release; rm -r /tmp; mkdir /tmp; ln -s pkg /var/lib/now; ln /var/lib/pkg/version /var/lib/pkg/same; echo kept > "/var/lib/pkg/ü"',
  ]);
  expect(run.stdout).toBe('0');
  expect(await sandbox.overlay().diff()).toEqual(
    expect.arrayContaining([
      { path: '/etc/os-release', kind: 'modified', type: 'file', size: 18 },
      { path: '/var/lib/old', kind: 'deleted' },
      { path: '/var/lib/pkg', kind: 'added', type: 'directory' },
      { path: '/var/lib/pkg/version', kind: 'added', type: 'file', size: 4 },
      { path: '/var/lib/now', kind: 'added', type: 'symlink' },
    ]),
  );
  const layer = await buffer(sandbox.overlay().exportTar());
  const commit = fresh('commit');
  await sandbox.overlay().commit(commit);
  await sandbox.close();
  // The folder below is as it was.
  expect(readFileSync(join(folder, 'var/lib/old'), 'utf8')).toBe('old');

  const entries = new Map<string, TarEntry>();
  for await (const { entry } of readTar(Readable.from([layer]))) entries.set(entry.path, entry);
  expect(entries.get('var/lib/.wh.old')).toBeDefined();
  expect(entries.get('var/lib/pkg/version')).toMatchObject({ type: expect.stringMatching(/file|link/), uid: 0 });
  expect([...entries.values()].filter(({ type }) => type === 'link')).toHaveLength(1);

  // As a second layer of an image, and as a folder on top of the first.
  const again = fresh('again');
  await unpackImage(layout([tar, layer]), again);
  const check = 'cat /etc/os-release /var/lib/now/version /var/lib/now/same; ls /var/lib';
  const expected = 'NAME=busybox\nmore\n1.0\n1.0\nnow\npkg';
  const one = await spawnIsolated('/bin/sh', ['-c', check], { preset: 'container', ...ids, root: again, mounts: [] });
  expect(one.stdout).toBe(expected);
  const two = await spawnIsolated('/bin/sh', ['-c', check], { preset: 'container', ...ids, root: { lower: [commit, folder] } });
  expect(two.stdout).toBe(expected);
});

describe('an overlay', () => {
  test('keeps its changes in a folder of the host, until they are discarded', async () => {
    const [lower, upper] = [fresh('lower'), fresh('upper')];
    mkdirSync(lower);
    mkdirSync(upper, { mode: 0o700 });
    writeFileSync(join(lower, 'f'), 'below');
    const open = () => Sandbox.open({ mounts: [{ type: 'overlay', target: '/o', lower, upper }] });
    const first = await open();
    await first.spawn('/bin/sh', ['-c', 'echo above > /o/f; echo new > /o/g']);
    await first.close();
    const second = await open();
    expect((await second.spawn('cat', ['/o/f', '/o/g'])).stdout).toBe('above\nnew');
    expect((await second.overlay('/o').diff()).map(({ path, kind }) => `${kind} ${path}`)).toEqual(['modified /f', 'added /g']);
    await second.overlay('/o').discard();
    expect(second.closed).toBe(true);
    expect(execFileSync('ls', ['-A', upper], { encoding: 'utf8' })).toBe('');
    expect(readFileSync(join(lower, 'f'), 'utf8')).toBe('below');
  });

  test('holds what it may, and no more', async () => {
    const lower = fresh('lower');
    mkdirSync(lower);
    const { stdout } = await spawnIsolated(
      '/bin/sh',
      [
        '-c',
        'dd if=/dev/zero of=/o/big bs=1M count=8 2>&1 | grep -o "No space"; for i in $(seq 60); do : > /o/f$i || break; done 2>&1 | grep -o "No space"',
      ],
      {
        mounts: [{ type: 'overlay', target: '/o', lower, size: '4M', inodes: 40 }],
        reject: false,
      },
    );
    expect(stdout).toBe('No space\nNo space');
  });

  test('refuses a folder for changes that others may enter', async () => {
    const [lower, upper] = [fresh('lower'), fresh('upper')];
    mkdirSync(lower);
    mkdirSync(upper, { mode: 0o755 });
    const error = await rejection(spawnIsolated('true', [], { mounts: [{ type: 'overlay', target: '/o', lower, upper }] }));
    expect(error).toMatchObject({ code: 'EACCES', origin: 'mounts[0].upper' });
  });

  test('whose folders are missing is an error that names one', async () => {
    expect(await rejection(spawnIsolated('true', [], { root: { lower: '/nowhere' } }))).toMatchObject({
      code: 'ENOENT',
      origin: 'root',
      path: '/nowhere',
    });
  });

  test('asked for where there is none is an error', async () => {
    const sandbox = await Sandbox.open();
    expect(() => sandbox.overlay()).toThrow('no overlay at /');
    await sandbox.close();
  });
});

test('an archive that is compressed in another way is told by its name', async () => {
  for (const [name, magic] of [
    ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
    ['bzip2', [0x42, 0x5a, 0x68, 0x39]],
  ] as const) {
    const error = await rejection(unpack(Buffer.concat([Buffer.from(magic), Buffer.alloc(100)])));
    expect(error).toMatchObject({ code: 'ERR_NSJS_ARCHIVE', message: expect.stringMatching(new RegExp(`${name}.*gzipped`)) });
  }
});

test('archives that a stream of the host ends early are refused', async () => {
  const file = fresh('file');
  writeFileSync(file, archive({ path: 'f', data: 'x'.repeat(5000) }).subarray(0, 2000));
  expect(await rejection(unpackTar(createReadStream(file), fresh('root')))).toMatchObject({ code: 'ERR_NSJS_ARCHIVE' });
});
