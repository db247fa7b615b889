import type { TarEntry } from '../../dist/tar/format';
import { archiveEnd, encodeHeader, padding } from '../../dist/tar/writer';

export type Made = Partial<TarEntry> & { readonly path: string; readonly data?: string };

/** Returns an archive of these entries, without checking whether they are valid. */
export function archive(...entries: readonly Made[]): Buffer {
  const parts = entries.flatMap(({ data = '', ...entry }) => {
    const bytes = Buffer.from(data);
    const whole: TarEntry = { type: 'file', mode: 0o644, uid: 0, gid: 0, size: bytes.length, mtime: 1_700_000_000_000, ...entry };
    return [encodeHeader(whole), bytes, padding(whole.size)];
  });
  return Buffer.concat([...parts, archiveEnd()]);
}
