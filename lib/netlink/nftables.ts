import { isBytes } from '../base/parse';
import type { Expression } from './expressions';
import {
  attribute,
  be16,
  be32,
  decodeAttributes,
  encodeMessage,
  type NetlinkMessage,
  nested,
  netlinkFlags,
  stringOf,
  u8,
  zeroEnded,
} from './message';

const { request, ack, create, append, dump } = netlinkFlags;
const subsystem = 10; // NFNL_SUBSYS_NFTABLES
const batch = { begin: 16, end: 17 } as const;
const types = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  newRule: 6,
  getRule: 7,
  newSet: 9,
  newElements: 12,
  deleteElements: 14,
} as const;

/** Families of tables, nft(8). */
const tableFamilies = { inet: 1, ip: 2, ip6: 10, netdev: 5, bridge: 7 } as const;
export type TableFamily = keyof typeof tableFamilies;

/** A table by its family and name. */
export interface TableName {
  readonly family: TableFamily;
  readonly table: string;
}

const hooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;

/** Hook of a chain, and its priority among the chains there. */
export interface ChainHook {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: keyof typeof hooks;
  readonly priority: number;
  readonly policy?: 'accept' | 'drop';
}

const head = (family: number, resource = 0) => Buffer.concat([u8(family), u8(0), be16(resource)]);
const listElement = 1;

function message(type: keyof typeof types, { family, table }: TableName, flags: number, ...attributes: readonly Buffer[]): NetlinkMessage {
  return {
    type: (subsystem << 8) | types[type],
    flags: request | flags,
    payload: Buffer.concat([head(tableFamilies[family]), attribute(1, zeroEnded(table)), ...attributes]),
  };
}

/** Creates a table. */
export const newTable = (name: TableName): NetlinkMessage => message('newTable', name, create, attribute(2, be32(0)));

/** Removes a table and everything in it. */
export const deleteTable = (name: TableName): NetlinkMessage => message('deleteTable', name, 0);

/** Creates a chain. Without a hook, it is reached only by a jump. */
export function newChain(name: TableName, chain: string, at?: ChainHook): NetlinkMessage {
  const hook = at && attribute(4 | nested, attribute(1, be32(hooks[at.hook])), attribute(2, be32(at.priority)));
  return message(
    'newChain',
    name,
    create,
    attribute(3, zeroEnded(chain)),
    ...(at ? [attribute(7, zeroEnded(at.type))] : []),
    ...(at?.policy ? [attribute(5, be32(at.policy === 'accept' ? 1 : 0))] : []),
    ...(hook ? [hook] : []),
  );
}

/** Adds a rule to the end of a chain. */
export function newRule(name: TableName, chain: string, expressions: readonly Expression[]): NetlinkMessage {
  const list = expressions.map((one) => attribute(listElement | nested, one));
  return message('newRule', name, create | append, attribute(2, zeroEnded(chain)), attribute(4 | nested, ...list));
}

/** Types of the elements of a set. */
const setTypes = {
  ipv4_addr: { number: 7, size: 4 },
  ipv6_addr: { number: 8, size: 16 },
  inet_service: { number: 13, size: 2 },
} as const;
export type SetType = keyof typeof setTypes;
const setFlags = { anonymous: 1, constant: 2, interval: 4, concatenated: 0x80 } as const;

/** A set of addresses, ports, or several of them together. */
export interface NftSet {
  readonly set: string;
  /** Identifies the set within the batch. */
  readonly id: number;
  readonly types: readonly SetType[];
  /** Whether the elements are ranges. */
  readonly interval?: boolean;
}

const padded = (size: number) => (size + 3) & ~3;

/** Creates a set. */
export function newSet(name: TableName, { set, id, types: kinds, interval }: NftSet): NetlinkMessage {
  const isConcatenated = kinds.length > 1;
  const flags = (interval ? setFlags.interval : 0) | (isConcatenated && interval ? setFlags.concatenated : 0);
  const keyType = kinds.reduce((all, kind) => (all << 6) | setTypes[kind].number, 0);
  const keySize = kinds.reduce((sum, kind) => sum + (isConcatenated ? padded(setTypes[kind].size) : setTypes[kind].size), 0);
  const fields = kinds.map((kind) => attribute(listElement | nested, attribute(1, be32(setTypes[kind].size))));
  return message(
    'newSet',
    name,
    create,
    attribute(2, zeroEnded(set)),
    attribute(3, be32(flags)),
    attribute(4, be32(keyType)),
    attribute(5, be32(keySize)),
    attribute(10, be32(id)),
    ...(isConcatenated && interval ? [attribute(9 | nested, attribute(2 | nested, ...fields))] : []),
  );
}

/**
 * One element: its bytes, or a range with its first value and the value after its last (undefined if there is none).
 */
export type SetElement = Uint8Array | { readonly first: Uint8Array; readonly end: Uint8Array | undefined };

const keyOf = (bytes: Uint8Array) => attribute(1 | nested, attribute(1, bytes));
const intervalEnd = attribute(3, be32(1));

function elementsOf(element: SetElement): readonly Buffer[] {
  if (isBytes(element)) return [keyOf(element)];
  const first = keyOf(element.first);
  return element.end ? [first, Buffer.concat([intervalEnd, keyOf(element.end)])] : [first];
}

// The kernel expects the start and the end of each range, and an end marker first if the lowest address is in no range.
function startOf(list: readonly SetElement[]): readonly Buffer[] {
  const [first] = list;
  if (first === undefined || isBytes(first) || first.first.every((byte) => byte === 0)) return [];
  return [Buffer.concat([intervalEnd, keyOf(Buffer.alloc(first.first.length))])];
}

/** Adds elements to a set. Ranges must be sorted and must not touch each other. */
export function addElements(name: TableName, { set, id }: Pick<NftSet, 'set' | 'id'>, list: readonly SetElement[]): NetlinkMessage {
  const all = [...startOf(list), ...list.flatMap(elementsOf)];
  const numbered = all.map((bytes, index) => attribute((index + 1) | nested, bytes));
  return message('newElements', name, create, attribute(2, zeroEnded(set)), attribute(4, be32(id)), attribute(3 | nested, ...numbered));
}

/** Requests the tables of a family. */
export const dumpTables = (family: TableFamily): NetlinkMessage => ({
  type: (subsystem << 8) | types.getTable,
  flags: request | dump,
  payload: head(tableFamilies[family]),
});

/** Requests the rules of a family. */
export const dumpRules = (family: TableFamily): NetlinkMessage => ({
  type: (subsystem << 8) | types.getRule,
  flags: request | dump,
  payload: head(tableFamilies[family]),
});

/** Returns the name of a table from a message of a dump. */
export function tableName({ payload }: Pick<NetlinkMessage, 'payload'>): string {
  return stringOf(decodeAttributes(payload.subarray(4)).get(1) ?? Buffer.alloc(0));
}

/**
 * Encodes changes that the kernel makes all together or not at all, as the bytes of one datagram. Sequence numbers
 * count from `sequence`, one for each message, the begin message first. Only the last change is acknowledged if all
 * succeed.
 */
export function encodeBatch(changes: readonly NetlinkMessage[], sequence: number): Buffer {
  const frame = (type: number): NetlinkMessage => ({ type, flags: request, payload: head(0, subsystem) });
  const last = changes.length - 1;
  const all = changes.map((change, index) => (index === last ? { ...change, flags: change.flags | ack } : change));
  return Buffer.concat([frame(batch.begin), ...all, frame(batch.end)].map((one, index) => encodeMessage(one, sequence + index)));
}
