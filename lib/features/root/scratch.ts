import { type Bytes, parseBytes, parseInteger, parseObject } from '../../base/parse';
import { feature } from '../feature';

export interface ScratchOptions {
  /**
   * Limits of each writable directory of a `system` root (`/tmp` and the home directory): `size` in bytes (default 64
   * MiB), `inodes` (default 16,384). Beyond them a write fails with ENOSPC (tmpfs(5)).
   */
  readonly scratch?: { readonly size?: Bytes; readonly inodes?: number };
}

export interface ScratchSpec {
  readonly size: number;
  readonly inodes: number;
}

export const scratch = feature({
  key: 'scratch',
  parse(value = {}, at): ScratchSpec {
    const { size = '64M', inodes = 16_384 } = parseObject(value, at, ['size', 'inodes']);
    return { size: parseBytes(size, `${at}.size`, 4096), inodes: parseInteger(inodes, `${at}.inodes`, 2, 2 ** 31) };
  },
});

declare module '../spec' {
  interface Spec {
    readonly scratch: ReturnType<(typeof scratch)['parse']>;
  }
}
