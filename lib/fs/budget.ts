import { Transform, type TransformCallback } from 'node:stream';
import { SysError } from '../base/errors';
import { type Bytes, parseBytes, parseInteger, parseObject } from '../base/parse';
import { tooLarge } from './root';

/** Limits of a copy. If one is exceeded, the copy fails and its incomplete result is removed. */
export interface CopyOptions {
  /** Total size in bytes. Default 1 GiB. */
  readonly maxSize?: Bytes;
  /** Total number of files and directories. Default 100,000. */
  readonly maxEntries?: number;
}

export interface CopyLimits {
  readonly maxSize: number;
  readonly maxEntries: number;
}

export const defaultMaxEntries = 100_000;
const efbig = 27;

export function parseLimits(options: CopyOptions): CopyLimits {
  const { maxSize = '1G', maxEntries = defaultMaxEntries } = parseObject(options, 'options', ['maxSize', 'maxEntries']);
  return { maxSize: parseBytes(maxSize, 'options.maxSize', 0), maxEntries: parseInteger(maxEntries, 'options.maxEntries', 1) };
}

/** Counts the entries and bytes of a copy and enforces its limits. */
export class Budget {
  private size = 0;
  private entries = 0;

  constructor(private readonly limits: CopyLimits) {}

  entry(path: string): void {
    if (++this.entries > this.limits.maxEntries)
      throw new SysError({ errno: efbig, syscall: 'copy', path, hint: `more entries than maxEntries (${this.limits.maxEntries})` });
  }

  bytes(path: string, count: number): void {
    this.size += count;
    if (this.size > this.limits.maxSize) throw tooLarge(path, this.size, this.limits.maxSize);
  }

  /**
   * Returns a stream that counts the bytes passing through it. The size from stat(2) is not enough: a file may grow.
   * Holes of a sparse file count too.
   */
  counter(path: string): Transform {
    return new Transform({
      transform: (part: Buffer, _encoding, done: TransformCallback) => {
        try {
          this.bytes(path, part.length);
          done(null, part);
        } catch (error) {
          done(error as Error);
        }
      },
    });
  }
}
