import { findSocket, inodeOf } from '../../../dist/netlink/sock-diag';

describe('the request for a socket', () => {
  const local = { address: '10.0.0.5', port: 40_000 };
  const remote = { address: '1.2.3.4', port: 443 };
  /** Returns family, protocol, and the two ends in the order of the message. */
  function read(payload: Buffer) {
    const size = payload[0] === 10 ? 16 : 4;
    return {
      family: payload[0],
      protocol: payload[1],
      source: [payload.subarray(12, 12 + size).toString('hex'), payload.readUInt16BE(8)],
      destination: [payload.subarray(28, 28 + size).toString('hex'), payload.readUInt16BE(10)],
    };
  }

  test('of TCP has the local end first', () => {
    const { type, flags, payload } = findSocket('tcp', local, remote);
    expect({ type, flags, size: payload.length }).toEqual({ type: 20, flags: 0x1, size: 56 });
    expect(read(payload)).toEqual({ family: 2, protocol: 6, source: ['0a000005', 40_000], destination: ['01020304', 443] });
  });

  test('of UDP has the remote end first', () => {
    expect(read(findSocket('udp', local, remote).payload)).toEqual({
      family: 2,
      protocol: 17,
      source: ['01020304', 443],
      destination: ['0a000005', 40_000],
    });
  });

  test('of IPv6 has whole addresses', () => {
    const { payload } = findSocket('tcp', { address: 'fd00::5', port: 1 }, { address: '2001:db8::1', port: 2 });
    expect(read(payload)).toEqual({
      family: 10,
      protocol: 6,
      source: ['fd000000000000000000000000000005', 1],
      destination: ['20010db8000000000000000000000001', 2],
    });
  });

  test('is for any state and has no cookie', () => {
    const { payload } = findSocket('tcp', local, remote);
    expect(payload.readUInt32LE(4)).toBe(0xffffffff);
    expect(payload.subarray(48)).toEqual(Buffer.alloc(8, 0xff));
  });
});

describe('the inode of a socket', () => {
  const answer = (type: number, size: number, inode = 0) => {
    const payload = Buffer.alloc(size);
    if (inode > 0) payload.writeUInt32LE(inode, 68);
    return { type, flags: 0, sequence: 1, payload };
  };

  test('is read from the answer; it is 0 if no process has the socket open', () => {
    expect(inodeOf(answer(20, 72, 4_000_000_000))).toBe(4_000_000_000);
    expect(inodeOf(answer(20, 72))).toBe(0);
  });

  test('is not in other messages', () => {
    expect(inodeOf(answer(2, 72, 5))).toBeUndefined();
    expect(inodeOf(answer(20, 71))).toBeUndefined();
  });
});
