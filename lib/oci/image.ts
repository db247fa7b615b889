import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AbortError, NsError } from '../base/errors';
import { nodeProgram } from '../base/node-program';
import { packageRoot, shipped } from '../base/package-root';
import { type Bytes, isUrl, parseBytes, parseHostPath, parseInteger, parseObject } from '../base/parse';
import type { SandboxOptions } from '../features';
import type { Mount } from '../features/root/mounts';
import { host } from '../host/host';
import { realHostPath } from '../host/host-path';
import { spawnIsolated } from '../run/spawn';
import { blobPath, type Descriptor, type ImageConfig, readLayout } from './layout';
import { openRegular } from './regular-file';
import type { UnpackAnswer, UnpackRequest } from './unpack';

/** Limits on an archive. One that exceeds them is refused, and the directory that was unpacked so far is removed. */
export interface UnpackOptions {
  /** Bytes of all layers, uncompressed. Default 8 GiB. */
  readonly maxSize?: Bytes;
  /** Files, directories and links of each layer. Default 1,000,000. */
  readonly maxEntries?: number;
  readonly signal?: AbortSignal;
}

/** A root file system on the host. */
export interface RootFs {
  /** Path of the directory, for `root: { lower: directory }` or `root: directory`. */
  readonly directory: string;
  readonly bytes: number;
  readonly entries: number;
  /** Number of entries that were left out: devices, FIFOs and other types that a sandbox has no use for. */
  readonly skipped: number;
}

/** An unpacked image. */
export interface Image extends RootFs {
  readonly config: ImageConfig;
}

const defaultSize = '8G';
const defaultEntries = 1_000_000;
const inside = { root: '/rootfs', code: '/nsjs' } as const;
const gzipMagic = [0x1f, 0x8b] as const;
/** Compression formats that are not supported, by their first bytes. */
const foreignFormats: readonly (readonly [name: string, magic: readonly number[]])[] = [
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['zip', [0x50, 0x4b, 0x03, 0x04]],
];

interface Limits {
  readonly maxSize: number;
  readonly maxEntries: number;
  readonly signal?: AbortSignal;
}

function parseUnpack(options: object, more: readonly string[] = []): Limits {
  const given = parseObject(options, 'options', ['maxSize', 'maxEntries', 'signal', ...more]) as UnpackOptions;
  return {
    maxSize: parseBytes(given.maxSize ?? defaultSize, 'options.maxSize'),
    maxEntries: parseInteger(given.maxEntries ?? defaultEntries, 'options.maxEntries', 1),
    ...(given.signal === undefined ? {} : { signal: given.signal }),
  };
}

/**
 * Unpacks a root file system from a tar archive, gzipped or not, into a directory that must not exist. The archive is
 * unpacked inside a sandbox that can write only to that directory. When root runs nsjs, owners are kept
 * (for `user: {ids: 'range'}`); when a user runs it, all files belong to that user. Set-id bits, devices and FIFOs are
 * left out. Rejects with NsError ERR_NSJS_ARCHIVE for an archive that is broken, leads outside of the directory, or
 * exceeds a limit.
 */
export async function unpackTar(archive: string | URL | Readable, directory: string, options: UnpackOptions = {}): Promise<RootFs> {
  const limits = parseUnpack(options);
  const target = parseHostPath(directory, 'directory');
  return intoDirectory(target, async () => {
    const isPath = typeof archive === 'string' || isUrl(archive);
    const input = isPath ? (await openRegular(parseHostPath(archive, 'archive'))).createReadStream() : archive;
    const { diffId: _, ...done } = await unpackLayer(input, target, limits);
    return { directory: target, ...done };
  });
}

/**
 * Unpacks an image of an OCI layout (a directory with `index.json`, OCI image spec 1.1) into one directory, layer by
 * layer like {@link unpackTar}. Verifies digests and sizes. `reference` selects one of several images by name. Layers
 * may be gzipped or plain tar.
 */
export async function unpackImage(
  layout: string | URL,
  directory: string,
  options: UnpackOptions & { readonly reference?: string } = {},
): Promise<Image> {
  const limits = parseUnpack(options, ['reference']);
  const from = parseHostPath(layout, 'layout');
  const target = parseHostPath(directory, 'directory');
  const { layers, diffIds, config } = await readLayout(from, options.reference, (digest, bytes) =>
    checkDigest(digest, createHash('sha256').update(bytes).digest('hex')),
  );
  return intoDirectory(target, async () => {
    const sum = { bytes: 0, entries: 0, skipped: 0 };
    for (const [index, layer] of layers.entries()) {
      const input = verified(from, layer);
      const answer = await unpackLayer(input, target, { ...limits, maxSize: limits.maxSize - sum.bytes });
      checkDigest(diffIds[index] ?? '', answer.diffId);
      for (const key of ['bytes', 'entries', 'skipped'] as const) sum[key] += answer[key];
    }
    return { directory: target, ...sum, config };
  });
}

async function intoDirectory<T>(directory: string, fill: () => Promise<T>): Promise<T> {
  // A link in the path could have been planted, so the path is checked before anything is created.
  realHostPath(dirname(directory), 'directory');
  await mkdir(directory, { mode: 0o755 });
  try {
    return await fill();
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

function checkDigest(expected: string, found: string): void {
  if (expected !== `sha256:${found}`)
    throw new NsError('ERR_NSJS_ARCHIVE', `OCI layout: the content does not match the digest ${expected}: it is sha256:${found}`);
}

// The stream ends only after size and digest of the whole blob have been verified.
function verified(layout: string, { digest, size }: Descriptor): Readable {
  const hash = createHash('sha256');
  let seen = 0;
  const output = new PassThrough({
    transform(part: Buffer, _encoding, done) {
      seen += part.length;
      hash.update(part);
      done(null, part);
    },
    flush(done) {
      try {
        if (seen !== size) throw new NsError('ERR_NSJS_ARCHIVE', `OCI layout: ${digest} has ${seen} bytes instead of ${size}`);
        checkDigest(digest, hash.digest('hex'));
        done();
      } catch (error) {
        done(error as Error);
      }
    },
  });
  openRegular(blobPath(layout, digest)).then(
    (file) => pipeline(file.createReadStream(), output).catch(() => {}),
    (error: Error) => output.destroy(error),
  );
  return output;
}

async function unpackLayer(input: Readable, directory: string, { maxSize, maxEntries, signal }: Limits): Promise<UnpackAnswer> {
  const { stream, gzip } = await sniff(input, signal);
  const { privileged } = host();
  const request: UnpackRequest = { root: inside.root, gzip, maxSize, maxEntries, owners: privileged };
  const { stdout, stderr } = await spawnIsolated(
    nodeProgram('unpack'),
    [join(inside.code, relative(packageRoot, shipped.unpacker)), JSON.stringify(request)],
    {
      ...sandbox(directory, privileged),
      input: stream,
      reject: false,
      encoding: 'utf8',
      ...(signal ? { signal } : {}),
    },
  );
  const answer = parseAnswer(stdout);
  if ('error' in answer) throw new NsError('ERR_NSJS_ARCHIVE', answer.error || `unpacking failed: ${stderr.slice(0, 500)}`);
  return answer;
}

function parseAnswer(stdout: string): UnpackAnswer | { readonly error: string } {
  try {
    return JSON.parse(stdout) as UnpackAnswer | { readonly error: string };
  } catch {
    return { error: '' };
  }
}

function sandbox(directory: string, privileged: boolean): SandboxOptions {
  const parts = ['dist', 'prebuilds', 'build/Release'].filter((name) => existsSync(join(packageRoot, name)));
  const mounts: readonly Mount[] = [
    ...parts.map((name) => ({ type: 'bind', source: join(packageRoot, name), target: `${inside.code}/${name}` }) as const),
    { type: 'bind', source: directory, target: inside.root, readonly: false },
  ];
  return {
    preset: 'node',
    mounts,
    ...(privileged ? { user: { ids: 'range' }, capabilities: ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER'] } : {}),
  };
}

/** Finds out from the first bytes whether an archive is gzipped. Rejects other compression formats. */
async function sniff(input: Readable, signal: AbortSignal | undefined): Promise<{ readonly stream: Readable; readonly gzip: boolean }> {
  const output = new PassThrough();
  if (input.destroyed || input.readableEnded) throw new NsError('ERR_NSJS_ARCHIVE', 'the archive is a stream that has already ended');
  const first = await new Promise<Buffer>((resolve, reject) => {
    input.once('close', () => reject(new NsError('ERR_NSJS_ARCHIVE', 'the stream of the archive was closed')));
    const onAbort = () => reject(new AbortError(signal?.reason));
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    input.once('error', reject);
    input.once('end', () => resolve(Buffer.alloc(0)));
    input.once('readable', () => resolve((input.read() as Buffer | null) ?? Buffer.alloc(0)));
  });
  const foreign = foreignFormats.find(([, magic]) => magic.every((byte, at) => first[at] === byte));
  if (foreign)
    throw new NsError('ERR_NSJS_ARCHIVE', `the archive is compressed by ${foreign[0]}`, {
      hint: 'only plain and gzipped tar archives are supported: decompress it first, or copy the image with gzipped layers',
    });
  if (first.length > 0) output.write(first);
  pipeline(input, output).catch(() => {});
  return { stream: output, gzip: first[0] === gzipMagic[0] && first[1] === gzipMagic[1] };
}
