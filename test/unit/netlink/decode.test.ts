// Messages from the kernel about interfaces, addresses and routes.
import { decodeAddress, decodeLink, decodeRoute } from '../../../dist/netlink/decode';
import { decodeAcknowledgement, decodeMessages, encodeMessage, stringOf } from '../../../dist/netlink/message';

/** An attribute: length, type, value, padding. */
function attribute(type: number, value: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(4 + value.length, 0);
  head.writeUInt16LE(type, 2);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
}
const text = (value: string) => Buffer.from(`${value}\0`);
const word = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const message = (type: number, ...parts: readonly Buffer[]) => ({ type, flags: 0, payload: Buffer.concat(parts) });

describe('interfaces', () => {
  const header = Buffer.concat([word(0), word(7), word(1), word(0)]);

  test('have all attributes that the kernel reports', () => {
    const stats = Buffer.alloc(8 * 24);
    for (const [index, value] of [11n, 12n, 13n, 14n].entries()) stats.writeBigUInt64LE(value, index * 8);
    const parts = [
      attribute(3, text('v0')),
      attribute(4, word(1500)),
      attribute(1, Buffer.from([2, 0, 0, 0, 0, 10])),
      attribute(10, word(3)),
      attribute(18, attribute(1, text('veth'))),
      attribute(20, text('an alias')),
      attribute(23, stats),
    ];
    expect(decodeLink(message(16, header, ...parts))).toEqual({
      index: 7,
      name: 'v0',
      up: true,
      mtu: 1500,
      mac: '02:00:00:00:00:0a',
      kind: 'veth',
      master: 3,
      alias: 'an alias',
      received: { packets: 11, bytes: 13 },
      sent: { packets: 12, bytes: 14 },
    });
  });

  test('lack the attributes that the kernel does not report', () => {
    const none = { packets: 0, bytes: 0 };
    expect(decodeLink(message(16, header))).toEqual({ index: 7, name: '', up: true, mtu: 0, received: none, sent: none });
    expect(decodeLink(message(16, header, attribute(1, Buffer.alloc(4)), attribute(18, Buffer.alloc(0))))).not.toHaveProperty('mac');
    expect(decodeLink(message(17, header))).toBeUndefined();
    expect(decodeLink(message(16, header.subarray(4)))).toBeUndefined();
  });
});

describe('addresses', () => {
  const header = (scope: number, flags = 0) => Buffer.concat([Buffer.from([2, 24, flags, scope]), word(7)]);
  const own = attribute(2, Buffer.from([10, 0, 0, 1]));
  const peer = attribute(1, Buffer.from([10, 0, 0, 2]));

  test('are the local address, or that of the peer if there is no local one', () => {
    expect(decodeAddress(message(20, header(0, 0x80), peer, own))).toEqual({
      index: 7,
      address: '10.0.0.1',
      prefix: 24,
      scope: 'global',
      permanent: true,
    });
    expect(decodeAddress(message(20, header(254), peer, attribute(8, word(0x80))))).toMatchObject({
      address: '10.0.0.2',
      scope: 'host',
      permanent: true,
    });
    expect(decodeAddress(message(20, header(99), own))).toMatchObject({ scope: '99', permanent: false });
  });

  test('other messages are not addresses', () => {
    expect(decodeAddress(message(20, header(0)))).toBeUndefined();
    expect(decodeAddress(message(21, header(0), own))).toBeUndefined();
    expect(decodeAddress(message(20, Buffer.alloc(4)))).toBeUndefined();
  });
});

describe('routes', () => {
  const header = (family: number, type: number) => Buffer.from([family, 24, 0, 0, 254, 0, 0, type, 0, 0, 0, 0]);
  const address = attribute(5, Buffer.from([10, 0, 0, 1]));

  test('are decoded with all attributes, and with none', () => {
    const parts = [
      attribute(1, Buffer.from([192, 168, 1, 0])),
      address,
      attribute(4, word(7)),
      attribute(7, Buffer.from([10, 0, 0, 9])),
      attribute(6, word(100)),
      attribute(15, word(1000)),
    ];
    expect(decodeRoute(message(24, header(2, 1), ...parts))).toEqual({
      family: 'inet',
      destination: { address: '192.168.1.0', prefix: 24 },
      gateway: '10.0.0.1',
      output: 7,
      source: '10.0.0.9',
      table: 1000,
      type: 'unicast',
      metric: 100,
    });
    expect(decodeRoute(message(24, header(10, 99)))).toEqual({
      family: 'inet6',
      destination: { address: '::', prefix: 24 },
      table: 254,
      type: '99',
    });
  });

  test('other messages are not routes', () => {
    expect(decodeRoute(message(25, header(2, 1)))).toBeUndefined();
    expect(decodeRoute(message(24, Buffer.alloc(4)))).toBeUndefined();
  });
});

describe('acknowledgements', () => {
  const negative = (errno: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(-errno);
    return bytes;
  };
  const request = Buffer.concat([word(20), word(0), word(0), word(0), word(5)]);

  test('have an errno, and the error text of the kernel if there is one', () => {
    const answer = (flags: number, ...parts: readonly Buffer[]) => decodeAcknowledgement({ type: 2, flags, payload: Buffer.concat(parts) });
    expect(answer(0, Buffer.alloc(0))).toEqual({ errno: 0 });
    expect(answer(0, negative(1), request)).toEqual({ errno: 1 });
    expect(answer(0x200, negative(22), request, attribute(1, text('no such thing')))).toEqual({ errno: 22, text: 'no such thing' });
    expect(answer(0x300, negative(22), request.subarray(0, 16), attribute(1, text('capped')))).toEqual({ errno: 22, text: 'capped' });
    expect(answer(0x200, negative(22), request)).toEqual({ errno: 22 });
  });

  test('are left out if they are truncated', () => {
    const bytes = encodeMessage({ type: 16, flags: 5, payload: word(9) }, 3);
    expect(decodeMessages(Buffer.concat([bytes, bytes]).subarray(0, -1))).toHaveLength(1);
    expect(decodeMessages(Buffer.alloc(20))).toEqual([]);
    expect(stringOf(Buffer.from('no end'))).toBe('no end');
  });
});
