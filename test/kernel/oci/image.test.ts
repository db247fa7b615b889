import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { Sandbox, spawnIsolated, unpackImage } from 'nsjs';
import type { TarEntry } from '../../../dist/tar/format';
import { readTar } from '../../../dist/tar/reader';
import { isRoot, rejection, testIf } from '../../support';
import { archive } from '../../support/archive';

const busybox = ['/usr/bin/busybox', '/bin/busybox'].find(existsSync);

const work = mkdtempSync(join(tmpdir(), 'nsjs-oci-'));

chmodSync(work, 0o755);

afterAll(() => {
  execFileSync('chmod', ['-R', 'u+rwX', work]);
  rmSync(work, { recursive: true, force: true });
});

let count = 0;

const fresh = (name: string) => join(work, `${name}-${count++}`);

/** Writes an OCI image layout with these layers, as registries and build tools do. Returns its directory. */
function layout(layers: readonly Buffer[], change: (blobs: Map<string, Buffer>) => void = () => {}): string {
  const directory = fresh('layout');
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true });
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
  for (const [name, bytes] of blobs) writeFileSync(join(directory, 'blobs/sha256', name.slice(7)), bytes);
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(directory, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }] }),
  );
  return directory;
}

describe('an image', () => {
  const base = archive(
    { path: 'etc', type: 'directory', mode: 0o755 },
    { path: 'etc/a', data: '1' },
    { path: 'etc/b', data: '2' },
    { path: 'opt/x/y', data: '3' },
  );

  test('is unpacked as its layers in order, with their whiteouts applied', async () => {
    const second = archive(
      { path: 'etc/.wh.a' },
      { path: 'etc/c', data: 'new' },
      { path: 'opt/x/own', data: '4' },
      { path: 'opt/x/.wh..wh..opq' },
    );
    const directory = fresh('image');
    const image = await unpackImage(layout([base, second]), directory, { reference: 'latest' });
    expect(image.config).toMatchObject({ env: ['PATH=/bin', 'A=b'], cmd: ['/bin/sh'], workingDir: '/root' });
    expect(execFileSync('find', ['.', '-type', 'f'], { cwd: directory, encoding: 'utf8' }).trim().split('\n').sort()).toEqual([
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
    const directory = fresh('image');
    const error = await rejection(unpackImage(layout([base], change), directory));
    expect(['ERR_NSJS_ARCHIVE', 'ENOENT']).toContain(error.code);
    expect(existsSync(directory)).toBe(false);
  });

  test('with a digest that contains a path is refused', async () => {
    const directory = layout([base]);
    writeFileSync(join(directory, 'index.json'), JSON.stringify({ manifests: [{ digest: 'sha256:../../../etc/passwd', size: 1 }] }));
    expect(await rejection(unpackImage(directory, fresh('image')))).toMatchObject({
      code: 'ERR_NSJS_ARCHIVE',
      message: expect.stringContaining('digest'),
    });
  });
});

testIf(busybox !== undefined, 'busybox', 'a root file system runs, and its changes can be listed, exported and reused', async () => {
  const source = fresh('busybox');
  for (const name of ['bin', 'etc', 'tmp', 'var/lib']) mkdirSync(join(source, name), { recursive: true });
  copyFileSync(busybox ?? '', join(source, 'bin/busybox'));
  chmodSync(join(source, 'bin/busybox'), 0o755);
  for (const applet of ['sh', 'ls', 'cat', 'rm', 'mkdir', 'id', 'ln', 'chown', 'mv']) symlinkSync('busybox', join(source, 'bin', applet));
  // As in many images. The `dev` mount must not create its entries in this directory.
  mkdirSync(join(source, 'dev'));
  symlinkSync('/proc/self/fd', join(source, 'dev/fd'));
  writeFileSync(join(source, 'etc/os-release'), 'NAME=busybox\n');
  writeFileSync(join(source, 'var/lib/old'), 'old');
  const tar = execFileSync('tar', ['-c', '-C', source, '.'], { maxBuffer: 2 ** 28 });

  const directory = fresh('rootfs');
  await unpackImage(layout([tar]), directory);
  const mounts = [
    { type: 'proc', target: '/proc' },
    { type: 'dev', target: '/dev' },
  ] as const;
  const ids = isRoot ? { user: { ids: 'range' } as const } : {};
  const sandbox = await Sandbox.open({ preset: 'container', ...ids, root: { lower: directory, size: '32M' }, mounts });
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
  // The lower directory is unchanged.
  expect(readFileSync(join(directory, 'var/lib/old'), 'utf8')).toBe('old');

  const entries = new Map<string, TarEntry>();
  for await (const { entry } of readTar(Readable.from([layer]))) entries.set(entry.path, entry);
  expect(entries.get('var/lib/.wh.old')).toBeDefined();
  expect(entries.get('var/lib/pkg/version')).toMatchObject({ type: expect.stringMatching(/file|link/), uid: 0 });
  expect([...entries.values()].filter(({ type }) => type === 'link')).toHaveLength(1);

  // The changes are used as a second layer of an image, then as a directory on top of the lower one.
  const again = fresh('again');
  await unpackImage(layout([tar, layer]), again);
  const check = 'cat /etc/os-release /var/lib/now/version /var/lib/now/same; ls /var/lib';
  const expected = 'NAME=busybox\nmore\n1.0\n1.0\nnow\npkg';
  const one = await spawnIsolated('/bin/sh', ['-c', check], { preset: 'container', ...ids, root: again, mounts: [] });
  expect(one.stdout).toBe(expected);
  const two = await spawnIsolated('/bin/sh', ['-c', check], { preset: 'container', ...ids, root: { lower: [commit, directory] } });
  expect(two.stdout).toBe(expected);
});
