import fc from 'fast-check';
import * as message from '../../../dist/netlink/message';

const { attribute, decodeAttributes, decodeMessages, encodeMessage, listAttributes } = message;

describe('numbers', () => {
  test.each<[string, Buffer, string]>([
    ['u8', message.u8(0x1ff), 'ff'],
    ['u16', message.u16(0x1_1234), '3412'],
    ['u32', message.u32(0x12345678), '78563412'],
    ['u32 of a negative number', message.u32(-2), 'feffffff'],
    ['u64', message.u64(0x0102030405060708n), '0807060504030201'],
    ['be16', message.be16(0x1234), '1234'],
    ['be32', message.be32(0x12345678), '12345678'],
    ['be32 of a negative number', message.be32(-2), 'fffffffe'],
    ['be64', message.be64(0x0102030405060708n), '0102030405060708'],
  ])('%s', (_, bytes, expected) => {
    expect(bytes.toString('hex')).toBe(expected);
  });
});

describe('attributes', () => {
  test('have a length without padding, and zeros up to a multiple of 4 bytes', () => {
    expect(attribute(3, Buffer.from('ab'), Buffer.from('c')).toString('hex')).toBe('0700030061626300');
    expect(attribute(message.nested | 2).toString('hex')).toBe('04000280');
  });

  const anyAttribute = fc.tuple(fc.nat(0x3fff), fc.uint8Array({ maxLength: 20 }));
  test('are read as they were written', () => {
    fc.assert(
      fc.property(fc.array(anyAttribute, { maxLength: 8 }), fc.boolean(), (all, isNested) => {
        const flag = isNested ? message.nested : 0;
        const bytes = Buffer.concat(all.map(([type, value]) => attribute(type | flag, value)));
        const hex = (type: number, value: Uint8Array) => `${type} ${Buffer.from(value).toString('hex')}`;
        expect(listAttributes(bytes).map((one) => hex(...one))).toEqual(all.map((one) => hex(...one)));
      }),
    );
  });

  test('of the same type count once: the last one is used', () => {
    const bytes = Buffer.concat([attribute(1, Buffer.of(1)), attribute(2, Buffer.of(2)), attribute(1, Buffer.of(3))]);
    expect([...decodeAttributes(bytes)]).toEqual([
      [1, Buffer.of(3)],
      [2, Buffer.of(2)],
    ]);
  });

  test.each([
    ['a length below that of the header', '03000200'],
    ['a length past the end', '09000200ffffffff'],
    ['half a header', '0800'],
  ])('end at the first attribute with %s', (_, text) => {
    const bytes = Buffer.concat([attribute(1, Buffer.of(1)), Buffer.from(text, 'hex')]);
    expect(listAttributes(bytes)).toEqual([[1, Buffer.of(1)]]);
  });
});

describe('messages', () => {
  const anyMessage = fc.record({ type: fc.nat(0xffff), flags: fc.nat(0xffff), payload: fc.uint8Array({ maxLength: 20 }) });
  test('are read as they were written', () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 5 }), (all) => {
        const bytes = Buffer.concat(all.map((one, index) => encodeMessage({ ...one, payload: Buffer.from(one.payload) }, index)));
        const plain = decodeMessages(bytes).map((one) => ({ ...one, payload: one.payload.toString('hex') }));
        expect(plain).toEqual(all.map((one, sequence) => ({ ...one, sequence, payload: Buffer.from(one.payload).toString('hex') })));
      }),
    );
  });

  test('are padded to a multiple of 4 bytes, beyond their length', () => {
    expect(encodeMessage({ type: 2, flags: 1, payload: Buffer.of(9) }, 3).toString('hex')).toBe(
      ['11000000', '0200', '0100', '03000000', '00000000', '09000000'].join(''),
    );
  });
});

describe('acknowledgements', () => {
  const success = Buffer.alloc(4);
  const failure = Buffer.from('f0ffffff', 'hex');

  test('have an errno, which is 0 for success', () => {
    expect(message.decodeAcknowledgement({ type: 2, flags: 0, payload: success }).errno === 0).toBe(true);
    expect(message.decodeAcknowledgement({ type: 2, flags: 0, payload: failure })).toEqual({ errno: 16 });
    expect(message.decodeAcknowledgement({ type: 3, flags: 0, payload: Buffer.alloc(2) })).toEqual({ errno: 0 });
  });

  test('have no text if the request that they repeat is incomplete', () => {
    expect(message.decodeAcknowledgement({ type: 2, flags: 0x200, payload: failure })).toEqual({ errno: 16 });
  });
});

test('strings end at their first NUL', () => {
  expect(message.zeroEnded('ab')).toEqual(Buffer.from([0x61, 0x62, 0]));
  expect(message.stringOf(Buffer.from('ab\0cd\0'))).toBe('ab');
  expect(message.stringOf(Buffer.from('größer'))).toBe('größer');
});
