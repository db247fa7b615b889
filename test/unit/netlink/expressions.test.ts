// Expressions of firewall rules that no captured command contains. The numbers are those of
// linux/netfilter/nf_tables.h.
import * as nft from '../../../dist/netlink/expressions';
import { decodeAttributes, stringOf } from '../../../dist/netlink/message';

/** Returns the name of an expression, and its attributes in hexadecimal by their number. */
function read(expression: Buffer): readonly [name: string, attributes: Readonly<Record<number, string>>] {
  const outer = decodeAttributes(expression);
  const inner = decodeAttributes(outer.get(2) ?? Buffer.alloc(0));
  return [stringOf(outer.get(1) ?? Buffer.alloc(0)), Object.fromEntries([...inner].map(([type, value]) => [type, value.toString('hex')]))];
}
const text = (value: string) => Buffer.from(`${value}\0`).toString('hex');

test.each<[string, Buffer, string, Readonly<Record<number, string>>]>([
  ['the mark into register 3', nft.meta('mark', 3), 'meta', { 1: '00000003', 2: '00000003' }],
  ['the user into register 1', nft.meta('skuid'), 'meta', { 1: '00000001', 2: '0000000a' }],
  ['the connection state into register 2', nft.ct('state', 2), 'ct', { 1: '00000002', 2: '00000000' }],
  ['the connection status', nft.ct('status'), 'ct', { 1: '00000001', 2: '00000002' }],
  ['the type of the source', nft.fibType('source'), 'fib', { 1: '00000001', 2: '00000003', 3: '00000001' }],
  ['the type of the destination', nft.fibType('destination', 4), 'fib', { 1: '00000004', 2: '00000003', 3: '00000002' }],
  [
    'four bytes of the link header',
    nft.payload('link', 6, 4, 2),
    'payload',
    { 1: '00000002', 2: '00000000', 3: '00000006', 4: '00000004' },
  ],
])('loads %s', (_, expression, name, attributes) => {
  expect(read(expression)).toEqual([name, attributes]);
});

describe('a set', () => {
  test('is searched for register 1 by its name', () => {
    expect(read(nft.lookup('s'))).toEqual(['lookup', { 1: text('s'), 2: '00000001' }]);
  });

  test('may be identified within the batch, for another register, and inverted', () => {
    expect(read(nft.lookup('s', { register: 2, id: 7, inverted: true }))).toEqual([
      'lookup',
      { 1: text('s'), 2: '00000002', 4: '00000007', 5: '00000001' },
    ]);
    expect(read(nft.lookup('s', { inverted: false }))).toEqual(['lookup', { 1: text('s'), 2: '00000001' }]);
  });
});

describe('addresses are rewritten', () => {
  test('of the source or the destination, in both families', () => {
    expect(read(nft.nat('snat', 'inet', 1))).toEqual(['nat', { 1: '00000000', 2: '00000002', 3: '00000001' }]);
    expect(read(nft.nat('dnat', 'inet6', 2))).toEqual(['nat', { 1: '00000001', 2: '0000000a', 3: '00000002' }]);
  });

  test('together with a port, which sets the flag for it', () => {
    expect(read(nft.nat('dnat', 'inet6', 1, 2))).toEqual([
      'nat',
      { 1: '00000001', 2: '0000000a', 3: '00000001', 5: '00000002', 7: '00000002' },
    ]);
  });
});

describe('a rate', () => {
  const rate = { 1: '000000000000000a', 3: '00000005', 4: '00000000' };

  test.each([
    ['second', '0000000000000001'],
    ['minute', '000000000000003c'],
    ['hour', '0000000000000e10'],
  ] as const)('per %s', (unit, seconds) => {
    expect(read(nft.limit(10, unit))).toEqual(['limit', { ...rate, 2: seconds, 5: '00000000' }]);
  });

  test('has a burst; inverted, the rule continues beyond it', () => {
    expect(read(nft.limit(10, 'second', 20, true))).toEqual(['limit', { ...rate, 2: '0000000000000001', 3: '00000014', 5: '00000001' }]);
  });
});

test('a quota continues the rule until its bytes have passed, or only after that', () => {
  const bytes = { 1: '0000000100000000', 4: '0000000000000000' };
  expect(read(nft.quota(2 ** 32))).toEqual(['quota', { ...bytes, 2: '00000000' }]);
  expect(read(nft.quota(2 ** 32, true))).toEqual(['quota', { ...bytes, 2: '00000001' }]);
});

test('a packet is logged to a group, with or without a prefix', () => {
  expect(read(nft.log(61))).toEqual(['log', { 1: '003d' }]);
  expect(read(nft.log(61, 'no'))).toEqual(['log', { 1: '003d', 2: text('no') }]);
});

test.each([
  ['tcp-reset', '00000001', '00'],
  ['port-unreachable', '00000002', '01'],
  ['admin-prohibited', '00000002', '03'],
] as const)('a packet is rejected: %s', (how, type, code) => {
  expect(read(nft.reject(how))).toEqual(['reject', { 1: type, 2: code }]);
});

describe('a verdict', () => {
  /** Returns the attributes of the verdict: its code, and the chain if there is one. */
  function verdictOf(expression: Buffer) {
    const data = decodeAttributes(decodeAttributes(expression).get(2) ?? Buffer.alloc(0));
    const verdict = decodeAttributes(decodeAttributes(data.get(2) ?? Buffer.alloc(0)).get(2) ?? Buffer.alloc(0));
    const chain = verdict.get(2);
    return { register: data.get(1)?.readUInt32BE(0), code: verdict.get(1)?.readInt32BE(0), chain: chain && stringOf(chain) };
  }

  test.each([
    ['drop', 0],
    ['accept', 1],
    ['return', -5],
  ] as const)('%s', (kind, code) => {
    expect(verdictOf(nft.verdict(kind))).toEqual({ register: 0, code, chain: undefined });
  });

  test.each([
    ['jump', -3],
    ['goto', -4],
  ] as const)('%s has a chain', (kind, code) => {
    expect(verdictOf(nft.verdict(kind, 'c'))).toEqual({ register: 0, code, chain: 'c' });
  });
});

test('a comparison has an operator, a register and the bytes', () => {
  const attributes = decodeAttributes(decodeAttributes(nft.cmp('gte', Buffer.from([1, 2]), 3)).get(2) ?? Buffer.alloc(0));
  expect(attributes.get(1)?.readUInt32BE(0)).toBe(3);
  expect(attributes.get(2)?.readUInt32BE(0)).toBe(5);
  expect(decodeAttributes(attributes.get(3) ?? Buffer.alloc(0)).get(1)).toEqual(Buffer.from([1, 2]));
});
