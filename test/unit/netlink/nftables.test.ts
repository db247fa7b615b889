// Requests about tables of the firewall that no captured command contains.
import { counter } from '../../../dist/netlink/expressions';
import { attribute, be32, decodeAttributes, decodeMessages, listAttributes, stringOf, zeroEnded } from '../../../dist/netlink/message';
import * as tables from '../../../dist/netlink/nftables';

const name = { family: 'inet', table: 't' } as const;
const headSize = 4;
const attributesOf = ({ payload }: { readonly payload: Buffer }) => decodeAttributes(payload.subarray(headSize));
const inner = (bytes: Buffer | undefined) => decodeAttributes(bytes ?? Buffer.alloc(0));
const type = (number: number) => (10 << 8) | number;

describe('dumps', () => {
  test.each([
    ['inet', 1],
    ['ip', 2],
    ['ip6', 10],
    ['netdev', 5],
    ['bridge', 7],
  ] as const)('request the tables and the rules of %s', (family, number) => {
    expect(tables.dumpTables(family)).toEqual({ type: type(1), flags: 0x301, payload: Buffer.of(number, 0, 0, 0) });
    expect(tables.dumpRules(family)).toEqual({ type: type(7), flags: 0x301, payload: Buffer.of(number, 0, 0, 0) });
  });

  test('return the names of tables', () => {
    expect(tables.tableName(tables.newTable({ family: 'ip', table: 'nsjs' }))).toBe('nsjs');
    expect(tables.tableName({ payload: Buffer.concat([Buffer.alloc(4), attribute(2, be32(0))]) })).toBe('');
    expect(tables.tableName({ payload: Buffer.alloc(0) })).toBe('');
  });
});

describe('a chain', () => {
  const hook = { type: 'filter', hook: 'output', priority: -100 } as const;

  test.each([
    ['accept', be32(1)],
    ['drop', be32(0)],
    [undefined, undefined],
  ] as const)('has the policy %s', (policy, expected) => {
    const attributes = attributesOf(tables.newChain(name, 'c', policy === undefined ? hook : { ...hook, policy }));
    expect(attributes.get(5)).toEqual(expected);
    expect(attributes.get(7)).toEqual(zeroEnded('filter'));
    expect([...inner(attributes.get(4))]).toEqual([
      [1, be32(3)],
      [2, be32(-100)],
    ]);
  });

  test('without a hook has neither type nor policy', () => {
    expect([...attributesOf(tables.newChain(name, 'c'))]).toEqual([
      [1, zeroEnded('t')],
      [3, zeroEnded('c')],
    ]);
  });
});

describe('a set', () => {
  const { newSet } = tables;
  const numbers = (set: Omit<tables.NftSet, 'set' | 'id'>) => {
    const attributes = attributesOf(newSet(name, { set: 's', id: 5, ...set }));
    const [flags, keyType, keySize, id] = [3, 4, 5, 10].map((key) => attributes.get(key)?.readUInt32BE(0));
    return { flags, keyType, keySize, id, isDescribed: attributes.has(9) };
  };

  test('has the type and the size of its key', () => {
    expect(numbers({ types: ['inet_service'] })).toEqual({ flags: 0, keyType: 13, keySize: 2, id: 5, isDescribed: false });
    expect(numbers({ types: ['ipv6_addr'], interval: true })).toEqual({ flags: 4, keyType: 8, keySize: 16, id: 5, isDescribed: false });
  });

  test('of several types pads each of them to 4 bytes', () => {
    const types = ['ipv4_addr', 'inet_service'] as const;
    expect(numbers({ types })).toEqual({ flags: 0, keyType: (7 << 6) | 13, keySize: 8, id: 5, isDescribed: false });
    expect(numbers({ types, interval: true })).toEqual({ flags: 0x84, keyType: (7 << 6) | 13, keySize: 8, id: 5, isDescribed: true });
  });

  test('of ranges of several types describes the size of each', () => {
    const { payload } = newSet(name, { set: 's', id: 5, types: ['ipv4_addr', 'inet_service'], interval: true });
    const fields = listAttributes(inner(decodeAttributes(payload.subarray(headSize)).get(9)).get(2) ?? Buffer.alloc(0));
    expect(fields.map(([, field]) => decodeAttributes(field).get(1)?.readUInt32BE(0))).toEqual([4, 2]);
  });
});

describe('elements of a set', () => {
  /** Returns the bytes of each element in hexadecimal. Those that end a range begin with `<`. */
  function read(list: readonly tables.SetElement[]): readonly string[] {
    const elements = attributesOf(tables.addElements(name, { set: 's', id: 5 }, list)).get(3) ?? Buffer.alloc(0);
    return listAttributes(elements).map(([, element]) => {
      const attributes = decodeAttributes(element);
      return `${attributes.get(3)?.equals(be32(1)) ? '<' : ''}${inner(attributes.get(1)).get(1)?.toString('hex')}`;
    });
  }
  const bytes = (text: string) => Buffer.from(text, 'hex');

  test('are their bytes, or the two ends of a range', () => {
    expect(read([bytes('0a000001'), bytes('0a000002')])).toEqual(['0a000001', '0a000002']);
    expect(read([{ first: bytes('0a000000'), end: bytes('0b000000') }])).toEqual(['<00000000', '0a000000', '<0b000000']);
  });

  test('have no marker before a range that begins with the lowest address', () => {
    expect(read([{ first: bytes('0000'), end: bytes('0001') }])).toEqual(['0000', '<0001']);
  });

  test('have no end if a range includes the highest address', () => {
    expect(read([{ first: bytes('00'), end: undefined }])).toEqual(['00']);
    expect(
      read([
        { first: bytes('10'), end: bytes('20') },
        { first: bytes('f0'), end: undefined },
      ]),
    ).toEqual(['<00', '10', '<20', 'f0']);
  });

  test('are none if the list is empty', () => {
    expect(read([])).toEqual([]);
  });
});

test('a rule has its expressions in order', () => {
  const attributes = attributesOf(tables.newRule(name, 'c', [counter(), counter()]));
  expect(stringOf(attributes.get(2) ?? Buffer.alloc(0))).toBe('c');
  expect(listAttributes(attributes.get(4) ?? Buffer.alloc(0))).toEqual([
    [1, counter()],
    [1, counter()],
  ]);
});

describe('a batch', () => {
  test('has a frame and sequence numbers, and requests an answer only to the last change', () => {
    const found = decodeMessages(tables.encodeBatch([tables.newTable(name), tables.deleteTable(name)], 40));
    expect(found.map((one) => [one.type, one.flags, one.sequence])).toEqual([
      [16, 0x1, 40],
      [type(0), 0x401, 41],
      [type(2), 0x5, 42],
      [17, 0x1, 43],
    ]);
    expect(found[0]?.payload).toEqual(Buffer.of(0, 0, 0, 10));
  });

  test('without changes has only its frame', () => {
    expect(decodeMessages(tables.encodeBatch([], 1)).map((one) => [one.type, one.sequence])).toEqual([
      [16, 1],
      [17, 2],
    ]);
  });
});
