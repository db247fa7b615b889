import { readFileSync } from 'node:fs';
import { isBundled, shipped } from '../base/package-root';
import type { Arch } from '../seccomp/tables';

/** A compiled filter. */
export interface Filter {
  readonly bytes: Uint8Array;
  readonly instructions: number;
  /** SHA-256 of the bytes, in hex. */
  readonly hash: string;
  /** SECCOMP_FILTER_FLAG_*. */
  readonly flags: number;
  /** Names that a loaded profile allows but that exist on no architecture. */
  readonly unknown: readonly string[];
  /** Whether the filter refuses every call that creates a user namespace. */
  readonly refusesUserNamespaces: boolean;
}

/** Values that the filter of a spec depends on. A profile of another runtime is never precompiled. */
export type FilterKey = readonly [allow: object, deny: object, only: object | null, ...flags: readonly boolean[]];

/** A filter as the build writes it to dist/filters. */
export type WrittenFilter = Pick<Filter, 'instructions' | 'hash' | 'refusesUserNamespaces'> & {
  readonly key: string;
  /** In base64. */
  readonly bytes: string;
};

/** Returns a text of a policy or another key, equal for equal ones only. */
export const filterText = (key: readonly unknown[]): string =>
  // Not the second argument: it may come from a BigInt.prototype.toJSON, which applications define.
  JSON.stringify(key, function (this: Readonly<Record<string, unknown>>, name) {
    const value = this[name];
    return typeof value === 'bigint' ? `${value}` : value;
  });

const kept = new Map<string, Filter>();
let read: readonly WrittenFilter[] | undefined;

/**
 * Returns the filter that the build compiled for this policy, if it is that of a preset. With it, a run needs neither
 * the compiler nor the tables of system calls.
 */
export function precompiledFilter(key: FilterKey): Filter | undefined {
  const text = filterText(key);
  const known = kept.get(text);
  if (known) return known;
  read ??= readFilters(process.arch as Arch);
  const found = read.find((one) => one.key === text);
  if (found === undefined) return undefined;
  const { instructions, hash, refusesUserNamespaces } = found;
  const filter = { bytes: Buffer.from(found.bytes, 'base64'), instructions, hash, flags: 0, unknown: [], refusesUserNamespaces };
  kept.set(text, filter);
  return filter;
}

// Without the file, filters are compiled when they are needed.
function readFilters(arch: Arch): readonly WrittenFilter[] {
  if (isBundled) return [];
  try {
    return JSON.parse(readFileSync(shipped.filters(arch), 'latin1')) as readonly WrittenFilter[];
  } catch {
    return [];
  }
}
