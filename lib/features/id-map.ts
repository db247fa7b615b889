import { OptionError } from '../base/errors';
import { parseArray, parseInteger, parseObject } from '../base/parse';
import type { Host } from '../host/host';
import type { Spec } from './spec';

/** A line of an id map, user_namespaces(7). */
export interface IdMapEntry {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** The ids that exist inside. */
export type IdsOption = 'one' | 'range' | 'keep' | { readonly uids: readonly IdMapEntry[]; readonly gids: readonly IdMapEntry[] };

/** The id maps of a user namespace. */
export interface IdMaps {
  readonly uids: readonly IdMapEntry[];
  readonly gids: readonly IdMapEntry[];
}

const maxId = 0xfffffffe;
const maxEntries = 340; // the maximum of the kernel
/** Number of ids in a range: the same as other runtimes give a container. */
export const rangeSize = 65_536;

export function parseIds(value: unknown, at: string): IdsOption {
  if (value === undefined || value === 'one' || value === 'range' || value === 'keep') return value ?? 'one';
  const given = parseObject(value, at, ['uids', 'gids']);
  return { uids: parseMap(given.uids, `${at}.uids`), gids: parseMap(given.gids, `${at}.gids`) };
}

function parseMap(value: unknown, at: string): readonly IdMapEntry[] {
  const list = parseArray(value, at).map((entry, index) => parseEntry(entry, `${at}[${index}]`));
  if (list.length === 0 || list.length > maxEntries)
    throw new OptionError(at, `expected 1 to ${maxEntries} entries, received ${list.length}`);
  if (!contains(list, 0))
    throw new OptionError(at, 'must map id 0 inside, which is the id of the process that sets up the sandbox: add an entry with inside: 0');
  for (const side of ['inside', 'outside'] as const) {
    const sorted = list.toSorted((one, other) => one[side] - other[side]);
    const overlap = sorted.find(
      (entry, index) => index > 0 && entry[side] < (sorted[index - 1]?.[side] ?? 0) + (sorted[index - 1]?.count ?? 0),
    );
    if (overlap) throw new OptionError(at, `${side} ${overlap[side]} is mapped twice`);
  }
  return list;
}

function parseEntry(value: unknown, at: string): IdMapEntry {
  const given = parseObject(value, at, ['inside', 'outside', 'count']);
  const entry = {
    inside: parseInteger(given.inside, `${at}.inside`, 0, maxId),
    outside: parseInteger(given.outside, `${at}.outside`, 0, maxId),
    count: parseInteger(given.count, `${at}.count`, 1, maxId),
  };
  if (entry.outside === 0)
    throw new OptionError(`${at}.outside`, 'is 0: root of the host must not be mapped into a sandbox; use another id');
  if (Math.max(entry.inside, entry.outside) + entry.count > maxId + 1)
    throw new OptionError(at, 'exceeds the largest id, 4294967294: lower count');
  return entry;
}

export const contains = (map: readonly IdMapEntry[], id: number): boolean =>
  map.some(({ inside, count }) => id >= inside && id < inside + count);

/** Returns the id outside that an id inside maps to; undefined if it is not mapped. */
export function outsideOf(map: readonly IdMapEntry[], id: number): number | undefined {
  const entry = map.find(({ inside, count }) => id >= inside && id < inside + count);
  return entry && entry.outside + id - entry.inside;
}

/** Returns the contents of /proc/<pid>/uid_map. */
export const mapText = (map: readonly IdMapEntry[]): string =>
  map.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\n`).join('');

/** Returns maps with more than one id. Throws an OptionError if the caller has no such ids. */
export function rangeMaps(ids: Exclude<IdsOption, 'one'>, host: Host, hostId: number | undefined): IdMaps {
  if (typeof ids === 'object') return ids;
  if (hostId !== undefined) {
    if (ids === 'keep')
      throw new OptionError(
        'user.ids',
        "'keep' is only for unprivileged callers: root's own id must not be mapped into a sandbox; use 'range'",
      );
    const map = [{ inside: 0, outside: hostId, count: rangeSize }];
    return { uids: map, gids: map };
  }
  const around = (own: number, ranges: Host['subuids'], file: string) => {
    if (ranges.length === 0)
      throw new OptionError(
        'user.ids',
        `${file} assigns no ids to this user; run as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME`,
      );
    return spread(ids === 'keep' ? own : 0, own, ranges);
  };
  return { uids: around(host.uid, host.subuids, '/etc/subuid'), gids: around(host.gid, host.subgids, '/etc/subgid') };
}

// Maps the caller's own id at one place, and subordinate ids at all others from 0 on.
function spread(at: number, own: number, ranges: Host['subuids']): readonly IdMapEntry[] {
  const map: IdMapEntry[] = [];
  let next = 0;
  for (const { start, count } of ranges) {
    for (let taken = 0; taken < count && next < rangeSize + 1; ) {
      if (next === at) next++;
      const until = next < at ? Math.min(at, rangeSize) : rangeSize + 1;
      const size = Math.min(count - taken, until - next);
      if (size <= 0) break;
      map.push({ inside: next, outside: start + taken, count: size });
      taken += size;
      next += size;
    }
  }
  return [...map, { inside: at, outside: own, count: 1 }].toSorted((one, other) => one.inside - other.inside);
}

// The overflow id represents every id that is not mapped: a program with id 65534 would appear to own the host's files.
const overflowId = 65534;
const fallbackId = 1000;

/** Returns the program's ids as seen inside. */
export function insideIds(spec: Spec['user'], host: Host): { readonly uid: number; readonly gid: number } {
  if (spec.ids !== 'one' && spec.ids !== 'keep') return { uid: spec.uid ?? 0, gid: spec.gid ?? 0 };
  const own = (id: number) => (host.privileged || id === overflowId ? fallbackId : id);
  return { uid: spec.uid ?? own(host.uid), gid: spec.gid ?? own(host.gid) };
}
