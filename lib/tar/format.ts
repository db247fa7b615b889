/** An entry of a tar archive as both ends see it: pax (POSIX.1-2001) with GNU's long names understood. */
export interface TarEntry {
  /** Without a leading slash; of a directory without a trailing one. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'link' | 'fifo' | 'character-device' | 'block-device';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a file; 0 of anything else. */
  readonly size: number;
  /** ms since 1970. */
  readonly mtime: number;
  /** Where a link leads; of a hard link a path in the archive. */
  readonly linkPath?: string;
  readonly xattrs?: Readonly<Record<string, Buffer>>;
}

export const blockSize = 512;

/** Type flags of the header. */
export const typeFlags = {
  file: '0',
  link: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
} as const satisfies Readonly<Record<TarEntry['type'], string>>;

/** Names of files that say what a layer takes away, OCI image spec. */
export const whiteout = { prefix: '.wh.', opaque: '.wh..wh..opq' } as const;
/** Prefix of extended attributes in pax headers. */
export const xattrPrefix = 'SCHILY.xattr.';

export function checksum(header: Buffer): number {
  let sum = 0;
  // The field of the checksum itself counts as spaces.
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 32 : byte;
  return sum;
}
