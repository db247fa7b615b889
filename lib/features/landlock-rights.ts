import { parseArray, parseInteger, parseOneOf } from '../base/parse';

/** Rights on files by the kernel's names (LANDLOCK_ACCESS_FS_*, landlock(7)); the position is the bit. */
const fsRights = [
  'EXECUTE',
  'WRITE_FILE',
  'READ_FILE',
  'READ_DIR',
  'REMOVE_DIR',
  'REMOVE_FILE',
  'MAKE_CHAR',
  'MAKE_DIR',
  'MAKE_REG',
  'MAKE_SOCK',
  'MAKE_FIFO',
  'MAKE_BLOCK',
  'MAKE_SYM',
  'REFER',
  'TRUNCATE',
  'IOCTL_DEV',
] as const;

export type LandlockFsRight = (typeof fsRights)[number];

/** LANDLOCK_SCOPE_*: operations that are restricted to the program and its descendants. */
export const scopes = { 'abstract-unix-socket': 1, signal: 2 } as const;
export type LandlockScope = keyof typeof scopes;
export const scopeNames = Object.keys(scopes) as LandlockScope[];

const bitOf = (right: LandlockFsRight): number => 1 << fsRights.indexOf(right);
const bits = (...rights: readonly LandlockFsRight[]): number => rights.reduce((all, right) => all | bitOf(right), 0);

export const readRights = bits('READ_FILE', 'READ_DIR');
export const executeRights = readRights | bits('EXECUTE');
const all = 2 ** fsRights.length - 1;
/** All rights except the creation of device nodes. */
export const writeRights = all & ~bits('MAKE_CHAR', 'MAKE_BLOCK');
/** Rights to use existing files: devices, and files in /proc. */
export const useRights = readRights | bits('WRITE_FILE', 'TRUNCATE', 'IOCTL_DEV');

const maxBits = 2 ** 31 - 1;

export function parseRights(value: unknown, at: string): number {
  return parseArray(value, at).reduce<number>((sum, right, index) => {
    const where = `${at}[${index}]`;
    return sum | (typeof right === 'number' ? parseInteger(right, where, 1, maxBits) : bitOf(parseOneOf(right, where, fsRights)));
  }, 0);
}

/** Returns the names of a set of rights. Bits without a name are returned as hexadecimal numbers. */
export function rightNames(rights: number): readonly string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 31; bit++) if ((rights & (1 << bit)) !== 0) names.push(fsRights[bit] ?? `0x${(1 << bit).toString(16)}`);
  return names;
}

/** A rule on a path. The rights are bits. */
export interface PathRule {
  /** Absolute path inside, or `'system'` for the paths of the system's programs, libraries and devices. */
  readonly path: string;
  readonly rights: number;
  readonly origin: string;
}
