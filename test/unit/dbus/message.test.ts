import { decodeReply, encodeCall, signatureOf } from '../../../dist/dbus/message';

describe('messages', () => {
  test('a call is what the specification says, byte by byte', () => {
    const call = encodeCall({ serial: 1, path: '/a', interface: 'b.c', member: 'D', body: [{ type: 's', value: 'xy' }] });
    const expected = [
      ...[0x6c, 1, 0, 1, 7, 0, 0, 0, 1, 0, 0, 0, 55, 0, 0, 0],
      ...[1, 1, 0x6f, 0, 2, 0, 0, 0, 0x2f, 0x61, 0, 0, 0, 0, 0, 0],
      ...[2, 1, 0x73, 0, 3, 0, 0, 0, 0x62, 0x2e, 0x63, 0, 0, 0, 0, 0],
      ...[3, 1, 0x73, 0, 1, 0, 0, 0, 0x44, 0, 0, 0, 0, 0, 0, 0],
      ...[8, 1, 0x67, 0, 1, 0x73, 0, 0],
      ...[2, 0, 0, 0, 0x78, 0x79, 0],
    ];
    expect([...call]).toEqual(expected);
  });

  test('signatures of nested values', () => {
    const value = {
      type: 'r',
      value: [
        { type: 's', value: 'a' },
        { type: 'v', value: { type: 'a', of: 'u', value: [] } },
      ],
    } as const;
    expect(signatureOf(value)).toBe('(sv)');
    expect(signatureOf({ type: 'a', of: '(sv)', value: [value] })).toBe('a(sv)');
  });

  test('an answer in pieces is read when all of it is there', () => {
    const call = encodeCall({ serial: 7, path: '/a', interface: 'b.c', member: 'D', body: [{ type: 's', value: 'why' }] });
    for (let size = 0; size < call.length; size++) expect(decodeReply(call.subarray(0, size))).toBeUndefined();
    expect(decodeReply(Buffer.concat([call, call]))).toMatchObject({ size: call.length, kind: 'other', text: 'why' });
  });
});
