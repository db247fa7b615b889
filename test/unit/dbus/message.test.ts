import { decodeReply, encodeCall, signatureOf } from '../../../dist/dbus/message';

describe('messages', () => {
  test('a call has the bytes that the specification defines', () => {
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

  test('nested values have signatures', () => {
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

  test('an answer in pieces is read once it is complete', () => {
    const call = encodeCall({ serial: 7, path: '/a', interface: 'b.c', member: 'D', body: [{ type: 's', value: 'why' }] });
    for (let size = 0; size < call.length; size++) expect(decodeReply(call.subarray(0, size))).toBeUndefined();
    expect(decodeReply(Buffer.concat([call, call]))).toMatchObject({ size: call.length, kind: 'other', text: 'why' });
  });
});

describe('a call', () => {
  const call = { serial: 1, path: '/a', interface: 'b.c', member: 'D' } as const;
  const bodyOf = (bytes: Buffer) => bytes.subarray(bytes.length - bytes.readUInt32LE(4)).toString('hex');

  test('has values of every type, each at its alignment', () => {
    const bytes = encodeCall({
      ...call,
      body: [
        { type: 'u', value: 5 },
        { type: 'b', value: true },
        { type: 'b', value: false },
        { type: 'o', value: '/x' },
        { type: 'g', value: 'as' },
        { type: 'v', value: { type: 's', value: 'hi' } },
        {
          type: 'a',
          of: '(sv)',
          value: [
            {
              type: 'r',
              value: [
                { type: 's', value: 'k' },
                { type: 'v', value: { type: 'u', value: 1 } },
              ],
            },
          ],
        },
        { type: 'a', of: 's', value: [] },
        { type: 'u', value: 9 },
        { type: 'a', of: '(sv)', value: [] },
        { type: 'u', value: 7 },
      ],
    });
    const expected = [
      '05000000 01000000 00000000',
      '02000000 2f7800',
      '02 6173 00',
      '01 73 00 0000 02000000 6869 00',
      // The length of an array does not include the padding before its first element.
      '00 10000000 01000000 6b00 01 75 00 000000 01000000',
      '00000000 09000000',
      '00000000 00000000 07000000',
    ];
    expect(bodyOf(bytes)).toBe(expected.join('').replaceAll(' ', ''));
    expect(bytes.toString('latin1')).toContain('ubbogva(sv)asua(sv)u\0');
  });

  test('counts the bytes of a text, not its characters', () => {
    expect(bodyOf(encodeCall({ ...call, body: [{ type: 's', value: 'ü' }] }))).toBe('02000000c3bc00');
  });

  test('pads before the first struct of an array, and does not count this padding in its length', () => {
    const body = [
      { type: 'u', value: 1 },
      { type: 'u', value: 2 },
      { type: 'a', of: '(u)', value: [{ type: 'r', value: [{ type: 'u', value: 3 }] }] },
    ] as const;
    expect(bodyOf(encodeCall({ ...call, body }))).toBe('0100000002000000040000000000000003000000');
  });

  test('names its destination if it has one', () => {
    const field = Buffer.from('06017300030000007a2e7900', 'hex');
    expect(encodeCall({ ...call, destination: 'z.y', body: [] }).includes(field)).toBe(true);
    expect(encodeCall({ ...call, body: [] }).includes(field.subarray(0, 4))).toBe(false);
  });

  test('without values has neither a signature nor a body', () => {
    const bytes = encodeCall({ ...call, body: [] });
    expect(bytes.readUInt32LE(4)).toBe(0);
    expect(bytes.includes(Buffer.from('08016700', 'hex'))).toBe(false);
    // The fields end with the member, whose value ends at offset 58; a multiple of 8 follows.
    expect(bytes).toHaveLength(64);
    expect(bytes.readUInt32LE(12)).toBe(42);
  });
});

describe('a reply', () => {
  const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
  const word = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const text = (value: string) => Buffer.concat([word(Buffer.byteLength(value)), Buffer.from(`${value}\0`)]);
  const field = (number: number, type: string, value: Buffer) => Buffer.concat([Buffer.of(number, 1), Buffer.from(`${type}\0`), value]);
  const signature = (value: string) => field(8, 'g', Buffer.concat([Buffer.of(value.length), Buffer.from(`${value}\0`)]));

  /** A message of a kind: 2 is a return, 3 an error, 4 a signal. */
  function message(kind: number, fields: readonly Buffer[], body = Buffer.alloc(0)): Buffer {
    const list = Buffer.concat(fields.map((one, index) => (index < fields.length - 1 ? padded(one) : one)));
    // The fields begin at offset 16, so that they are padded on their own.
    return Buffer.concat([Buffer.of(0x6c, kind, 0, 1), word(body.length), word(9), word(list.length), padded(list), body]);
  }
  const sender = field(7, 's', text('org.freedesktop.systemd1'));

  test('that returns has the serial of its call', () => {
    const bytes = message(2, [field(5, 'u', word(7)), sender, signature('o')], text('/job/1'));
    expect(decodeReply(bytes)).toEqual({ size: bytes.length, kind: 'return', replyTo: 7, error: undefined, text: undefined });
  });

  test('that fails has the name of the error and its text', () => {
    const fields = [field(4, 's', text('org.freedesktop.DBus.Error.Failed')), field(5, 'u', word(8)), sender, signature('s')];
    const bytes = message(3, fields, text('größer als erlaubt'));
    expect(decodeReply(bytes)).toEqual({
      size: bytes.length,
      kind: 'error',
      replyTo: 8,
      error: 'org.freedesktop.DBus.Error.Failed',
      text: 'größer als erlaubt',
    });
  });

  test('without a body has no text', () => {
    expect(decodeReply(message(2, [field(5, 'u', word(7))]))).toEqual({
      size: 24,
      kind: 'return',
      replyTo: 7,
      error: undefined,
      text: undefined,
    });
  });

  test('has only the text of a body that begins with a string', () => {
    expect(decodeReply(message(3, [signature('su')], Buffer.concat([text('abc'), word(1)])))?.text).toBe('abc');
    expect(decodeReply(message(3, [signature('us')], Buffer.concat([word(1), text('abc')])))?.text).toBeUndefined();
  });

  test('is not a signal, and other fields of the same types do not count', () => {
    const fields = [field(9, 'u', word(2)), field(11, 'g', Buffer.from([1, 0x73, 0]))];
    expect(decodeReply(message(4, fields, text('abc')))).toMatchObject({ kind: 'other', replyTo: undefined, text: undefined });
  });
});
