/** An entry of a tar archive, for reader and writer: pax (POSIX.1-2001); GNU long names are understood. */
export interface TarEntry {
  /** Path without a leading slash; a directory has no trailing slash either. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'link' | 'fifo' | 'character-device' | 'block-device';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Size of a file in bytes; 0 for other types. */
  readonly size: number;
  /** ms since 1970. */
  readonly mtime: number;
  /** Target of a link; for a hard link a path in the archive. */
  readonly linkPath?: string;
  readonly xattrs?: Readonly<Record<string, Buffer>>;
}

export const blockSize = 512;

/** Type flag of the header for each type. */
export const typeFlags = {
  file: '0',
  link: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
} as const satisfies Readonly<Record<TarEntry['type'], string>>;

/** Names of files that mark entries which a layer removes, OCI image spec. */
export const whiteout = { prefix: '.wh.', opaque: '.wh..wh..opq' } as const;
/** Prefix of extended attributes in pax headers. */
export const xattrPrefix = 'SCHILY.xattr.';

export function checksum(header: Buffer): number {
  let sum = 0;
  // The checksum field itself counts as spaces.
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 32 : byte;
  return sum;
}
