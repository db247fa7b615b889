import { attribute, decodeAttributes } from '../../../dist/netlink/message';
import { bindPacketLog, decodeLoggedPacket } from '../../../dist/netlink/packet-log';

const packetType = 4 << 8;
/** A message from the kernel with a packet. */
const logged = (packet: Buffer) => ({
  type: packetType,
  flags: 0,
  payload: Buffer.concat([Buffer.of(2, 0, 0, 61), attribute(1, Buffer.alloc(4)), attribute(9, packet)]),
});
const ports = Buffer.from('c00001bb', 'hex');

function four(protocol: number, words = 5): Buffer {
  const header = Buffer.alloc(words * 4);
  header.set([0x40 | words, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 5, 1, 2, 3, 4]);
  return header;
}
function six(protocol: number): Buffer {
  const header = Buffer.alloc(40);
  header.set([0x60, 0, 0, 0, 0, 0, protocol, 64]);
  header.fill(0x11, 8, 24);
  header.fill(0x22, 24, 40);
  return header;
}

describe('a logged packet', () => {
  test.each([
    ['tcp', 6],
    ['udp', 17],
    ['other', 132],
  ])('is decoded over IPv4: %s', (protocol, number) => {
    expect(decodeLoggedPacket(logged(Buffer.concat([four(number), ports])))).toEqual({
      protocol,
      source: Buffer.of(10, 0, 0, 5),
      destination: Buffer.of(1, 2, 3, 4),
      sourcePort: 0xc000,
      port: 443,
    });
  });

  test.each([
    ['tcp', 6],
    ['udp', 17],
    ['other', 0],
  ])('is decoded over IPv6: %s', (protocol, number) => {
    expect(decodeLoggedPacket(logged(Buffer.concat([six(number), ports])))).toEqual({
      protocol,
      source: Buffer.alloc(16, 0x11),
      destination: Buffer.alloc(16, 0x22),
      sourcePort: 0xc000,
      port: 443,
    });
  });

  test('has its ports after the options of the header', () => {
    expect(decodeLoggedPacket(logged(Buffer.concat([four(6, 7), ports])))).toMatchObject({ sourcePort: 0xc000, port: 443 });
  });

  test.each<[string, Buffer]>([
    ['no complete IPv4 header', four(6).subarray(0, 19)],
    ['no ports', Buffer.concat([four(6), ports.subarray(0, 3)])],
    ['no complete IPv6 header', six(6).subarray(0, 30)],
    ['no ports of IPv6', Buffer.concat([six(6), ports.subarray(0, 3)])],
  ])('with %s is left out', (_, packet) => {
    expect(decodeLoggedPacket(logged(packet))).toBeUndefined();
  });

  test('is not in other messages', () => {
    expect(decodeLoggedPacket({ ...logged(Buffer.concat([four(6), ports])), type: 2 })).toBeUndefined();
    expect(decodeLoggedPacket({ type: packetType, flags: 0, payload: Buffer.alloc(4) })).toBeUndefined();
  });
});

test('a subscription has a group, a number of bytes, and no delay', () => {
  const [bind, settings, ...rest] = bindPacketLog(61, 128);
  expect(rest).toEqual([]);
  for (const one of [bind, settings]) {
    expect(one).toMatchObject({ type: packetType | 1, flags: 0x5 });
    expect(one?.payload.subarray(0, 4)).toEqual(Buffer.of(0, 0, 0, 61));
  }
  const hex = (payload: Buffer = Buffer.alloc(4)) =>
    Object.fromEntries([...decodeAttributes(payload.subarray(4))].map(([type, value]) => [type, value.toString('hex')]));
  expect(hex(bind?.payload)).toEqual({ 1: '01' });
  expect(hex(settings?.payload)).toEqual({ 2: '000000800200', 4: '00000001', 5: '00000001' });
});
