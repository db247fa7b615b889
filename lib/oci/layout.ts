import { join } from 'node:path';
import { NsError } from '../base/errors';
import { openRegular } from './regular-file';

/** A descriptor of the OCI image spec. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** The configuration that the image specifies for its container, OCI image spec. */
export interface ImageConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly user: string;
}

export interface ImageManifest {
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly string[];
  readonly config: ImageConfig;
}

const maxJson = 4 * 2 ** 20;
const maxLayers = 100;
const maxNesting = 4;
const indexTypes = ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'];

const broken = (what: string): NsError => new NsError('ERR_NSJS_ARCHIVE', `OCI layout: ${what}`);

type Json = Readonly<Record<string, unknown>>;

/** Path of a blob. Throws for an invalid digest, because the digest becomes a part of the path. */
export function blobPath(layout: string, digest: string): string {
  if (!/^sha256:[0-9a-f]{64}$/.test(digest))
    throw broken(`'${digest.slice(0, 100)}' is not a SHA-256 digest (sha256: and 64 hexadecimal digits)`);
  return join(layout, 'blobs', 'sha256', digest.slice('sha256:'.length));
}

const record = (value: unknown, what: string): Json => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw broken(`${what} is not an object`);
  return value as Json;
};
const list = (value: unknown, what: string): readonly unknown[] => {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw broken(`${what} is not a list`);
  return value;
};
const strings = (value: unknown, what: string): readonly string[] =>
  list(value, what).map((entry) => {
    if (typeof entry !== 'string') throw broken(`${what} contains a value that is not a string`);
    return entry;
  });
const text = (value: unknown, fallback: string): string => (typeof value === 'string' ? value : fallback);

export function parseDescriptor(value: unknown, what: string): Descriptor {
  const { mediaType, digest, size } = record(value, what);
  if (typeof digest !== 'string' || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw broken(`${what} is not a valid descriptor`);
  blobPath('', digest);
  return { mediaType: text(mediaType, ''), digest, size };
}

export function parseConfig(value: unknown): { readonly config: ImageConfig; readonly diffIds: readonly string[] } {
  const { config, rootfs } = record(value, 'the configuration');
  const given = record(config ?? {}, 'config');
  return {
    config: {
      env: strings(given.Env, 'Env'),
      entrypoint: strings(given.Entrypoint, 'Entrypoint'),
      cmd: strings(given.Cmd, 'Cmd'),
      workingDir: text(given.WorkingDir, '/') || '/',
      user: text(given.User, ''),
    },
    diffIds: strings(record(rootfs ?? {}, 'rootfs').diff_ids, 'diff_ids'),
  };
}

async function readJson(path: string, verify: (bytes: Buffer) => void): Promise<Json> {
  const file = await openRegular(path);
  let bytes: Buffer;
  try {
    const { size } = await file.stat();
    if (size > maxJson) throw broken(`${path} is too large: ${size} bytes`);
    bytes = await file.readFile();
  } finally {
    await file.close();
  }
  verify(bytes);
  try {
    return record(JSON.parse(bytes.toString('utf8')), path);
  } catch (cause) {
    throw cause instanceof NsError ? cause : broken(`${path} is not valid JSON`);
  }
}

/**
 * Reads the manifest of the image for this platform from a layout; `reference` selects one of several images by name.
 */
export async function readLayout(
  layout: string,
  reference: string | undefined,
  verify: (digest: string, bytes: Buffer) => void,
): Promise<ImageManifest> {
  const blob = (digest: string) => readJson(blobPath(layout, digest), (bytes) => verify(digest, bytes));
  let index = await readJson(join(layout, 'index.json'), () => {});
  for (let depth = 0; ; depth++) {
    const { digest, mediaType } = choose(list(index.manifests, 'manifests'), reference, depth);
    const found = await blob(digest);
    if (!indexTypes.includes(mediaType) && found.manifests === undefined) return manifest(found, blob);
    if (depth === maxNesting) throw broken('its indexes are nested too deeply');
    index = found;
  }
}

async function manifest(found: Json, blob: (digest: string) => Promise<Json>): Promise<ImageManifest> {
  const layers = list(found.layers, 'layers').map((layer, index) => parseDescriptor(layer, `layers[${index}]`));
  if (layers.length === 0 || layers.length > maxLayers) throw broken(`an image has ${layers.length} layers, expected 1 to ${maxLayers}`);
  const { config, diffIds } = parseConfig(await blob(parseDescriptor(found.config, 'config').digest));
  if (diffIds.length !== layers.length) throw broken(`${layers.length} layers and ${diffIds.length} diff_ids`);
  return { layers, diffIds, config };
}

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

function choose(manifests: readonly unknown[], reference: string | undefined, depth: number): Descriptor {
  const all = manifests.map((entry, index) => ({
    raw: record(entry, `manifests[${index}]`),
    descriptor: parseDescriptor(entry, `manifests[${index}]`),
  }));
  const named = all.filter(
    ({ raw }) =>
      reference === undefined ||
      depth > 0 ||
      record(raw.annotations ?? {}, 'annotations')['org.opencontainers.image.ref.name'] === reference,
  );
  const own = named.filter(({ raw }) => {
    const platform = record(raw.platform ?? {}, 'platform');
    return (platform.architecture ?? architectures[process.arch]) === architectures[process.arch] && (platform.os ?? 'linux') === 'linux';
  });
  const [chosen] = own;
  if (!chosen)
    throw broken(
      reference === undefined
        ? 'it has no image for the platform of this host'
        : `it has no image '${reference}' for the platform of this host`,
    );
  return chosen.descriptor;
}
