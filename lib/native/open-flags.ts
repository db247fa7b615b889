/** Values of open(2) flags, by short names. */
export interface OpenFlags {
  readonly readOnly: number;
  readonly writeOnly: number;
  readonly create: number;
  readonly exclusive: number;
  readonly noctty: number;
  readonly nonblock: number;
  readonly cloexec: number;
  readonly path: number;
  /** The values of `directory` and `nofollow` differ between architectures, <asm/fcntl.h>. */
  readonly directory: number;
  readonly nofollow: number;
}

const common = {
  readOnly: 0,
  writeOnly: 1,
  create: 0o100,
  exclusive: 0o200,
  noctty: 0o400,
  nonblock: 0o4000,
  cloexec: 0o2000000,
  path: 0o10000000,
} as const;

/** Returns the flags of an architecture, named as in `process.arch`. Pure. */
export const openFlagsOf = (arch: string): OpenFlags =>
  arch === 'arm64' ? { ...common, directory: 0o40000, nofollow: 0o100000 } : { ...common, directory: 0o200000, nofollow: 0o400000 };

/** Flags of this machine's architecture. */
export const openFlags = openFlagsOf(process.arch);

/** Flags to open a directory as a reference only: O_PATH | O_DIRECTORY. */
export const pathDirectory = openFlags.path | openFlags.directory;
