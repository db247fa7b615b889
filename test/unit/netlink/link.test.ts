// Requests about interfaces that no captured command contains.
import * as link from '../../../dist/netlink/link';
import { decodeAttributes, listAttributes, stringOf, u32 } from '../../../dist/netlink/message';

const headSize = 16;
const attributesOf = (payload: Buffer) => decodeAttributes(payload.subarray(headSize));
const indexOf = (payload: Buffer) => payload.readInt32LE(4);

test('hardware addresses are read byte by byte', () => {
  expect(link.macBytes('02:0a:00:ff:00:01')).toEqual(Buffer.from([2, 10, 0, 255, 0, 1]));
});

test('all interfaces are requested by a dump, without attributes', () => {
  expect(link.dumpLinks()).toEqual({ type: 18, flags: 0x301, payload: Buffer.alloc(headSize) });
});

test('one interface is requested by its name', () => {
  const { type, flags, payload } = link.getLink('eth0');
  expect({ type, flags, index: indexOf(payload) }).toEqual({ type: 18, flags: 0x1, index: 0 });
  expect([...attributesOf(payload)]).toEqual([[3, Buffer.from('eth0\0')]]);
});

test('the alias of an interface is sent without a terminating NUL', () => {
  const { type, flags, payload } = link.setAlias(7, 'größer');
  expect({ type, flags, index: indexOf(payload) }).toEqual({ type: 16, flags: 0x5, index: 7 });
  expect([...attributesOf(payload)]).toEqual([[20, Buffer.from('größer')]]);
});

test.each([
  [true, 1],
  [false, 0],
])('a port of a bridge is isolated: %s', (isolated, value) => {
  const { payload } = link.setIsolated(7, isolated);
  expect(indexOf(payload)).toBe(7);
  const info = decodeAttributes(attributesOf(payload).get(18) ?? Buffer.alloc(0));
  expect(stringOf(info.get(1) ?? Buffer.alloc(0))).toBe('bridge_slave');
  expect([...decodeAttributes(info.get(5) ?? Buffer.alloc(0))]).toEqual([[33, Buffer.of(value)]]);
});

test.each([
  [true, 1],
  [false, 0],
])('an interface is brought up: %s', (up, flag) => {
  const { payload } = link.setLinkUp(7, up);
  expect({ index: indexOf(payload), flags: payload.readUInt32LE(8), change: payload.readUInt32LE(12) }).toEqual({
    index: 7,
    flags: flag,
    change: 1,
  });
});

test('a change sends only the given settings, with the name last', () => {
  const all = { name: 'eth7', mtu: 1400, mac: '02:00:00:00:00:05', netNsFd: 4 };
  expect(listAttributes(link.changeLink(7, all).payload.subarray(headSize))).toEqual([
    [4, u32(1400)],
    [1, Buffer.from([2, 0, 0, 0, 0, 5])],
    [28, u32(4)],
    [3, Buffer.from('eth7\0')],
  ]);
  expect(link.changeLink(7, {}).payload).toHaveLength(headSize);
});

test.each([
  ['private', 1],
  ['vepa', 2],
  ['bridge', 4],
  ['passthru', 8],
] as const)('a macvlan has the mode %s', (mode, number) => {
  const attributes = attributesOf(link.createMacvlan(7, mode, { name: 'm0' }).payload);
  expect(attributes.get(5)).toEqual(u32(7));
  const info = decodeAttributes(attributes.get(18) ?? Buffer.alloc(0));
  expect(stringOf(info.get(1) ?? Buffer.alloc(0))).toBe('macvlan');
  expect([...decodeAttributes(info.get(2) ?? Buffer.alloc(0))]).toEqual([[1, u32(number)]]);
});
