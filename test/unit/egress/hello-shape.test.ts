// Bytes that could start a TLS connection, in the format of TLS and in that of SSL 2.0.
import { findHello, helloAt } from '../../../dist/egress/hello-shape';
import { clientHello, record } from '../../support/hello';

const hello = clientHello({ names: [[0, 'good.test']] });
const u16 = (value: number) => Buffer.of(value >> 8, value & 0xff);

/** Returns a ClientHello in one record, with the given bytes after the version and the random bytes. */
function helloWith(...rest: readonly Buffer[]): Buffer {
  const body = Buffer.concat([u16(0x0303), Buffer.alloc(32, 7), ...rest]);
  return record(22, Buffer.concat([Buffer.of(1, 0), u16(body.length), body]));
}
const session = Buffer.of(0);
const ciphers = Buffer.concat([u16(2), u16(0x1301)]);
const compression = Buffer.of(1, 0);

describe('a ClientHello in one record', () => {
  test('is recognized before it is complete, and no part of it is mistaken for something else', () => {
    const whole = record(22, hello);
    const seen = Array.from({ length: whole.length + 1 }, (_, size) => helloAt(whole.subarray(0, size)));
    const first = seen.indexOf('yes');
    expect(seen[0]).toBe('no');
    expect(new Set(seen.slice(1, first))).toEqual(new Set(['more']));
    expect(new Set(seen.slice(first))).toEqual(new Set(['yes']));
    // The record's header, the message's header, version and random bytes come before the first length field.
    expect(first).toBeGreaterThan(5 + 4 + 34);
  });

  test.each<[string, Buffer]>([
    ['no extensions', helloWith(session, ciphers, compression)],
    ['empty extensions', helloWith(session, ciphers, compression, u16(0))],
    ['the longest session', helloWith(Buffer.concat([Buffer.of(32), Buffer.alloc(32)]), ciphers, compression)],
    ['an unusual version', record(22, hello, 0x0f00)],
  ])('with %s is recognized', (_, bytes) => {
    expect(helloAt(bytes)).toBe('yes');
  });

  test.each<[string, Buffer]>([
    ['another record type', record(23, hello)],
    ['a version that no server accepts', record(22, hello, 0x1000)],
    ['a record that is too long', Buffer.from('16030149000100', 'hex')],
    ['another message type', record(22, Buffer.concat([Buffer.of(2), hello.subarray(1)]))],
    ['an empty record', record(22, Buffer.alloc(0)).subarray(0, 5)],
    ['a message that is too long', record(22, Buffer.of(1, 3, 0, 0, 3, 3))],
    ['a session longer than 32 bytes', helloWith(Buffer.concat([Buffer.of(33), Buffer.alloc(33)]), ciphers, compression)],
    ['half a cipher', helloWith(session, u16(3), Buffer.alloc(3), compression)],
    ['an end before its ciphers', helloWith(session)],
    ['an end in the length of its ciphers', helloWith(session, Buffer.of(0))],
    ['an end before its compression', helloWith(session, ciphers)],
    ['ciphers past its end', helloWith(session, u16(200), u16(0x1301), compression)],
    ['extensions past its end', helloWith(session, ciphers, compression, u16(4), Buffer.of(0))],
  ])('with %s is not recognized', (_, bytes) => {
    // Other bytes follow, because the length of an empty record is read only then.
    expect(helloAt(Buffer.concat([bytes, Buffer.alloc(9)]))).toBe('no');
  });
});

describe('a ClientHello in several records', () => {
  test.each([1, 2, 3, 4, 30])('is recognized by the header of the second one, split after %d bytes', (at) => {
    const bytes = Buffer.concat([record(22, hello.subarray(0, at)), record(22, hello.subarray(at))]);
    const second = 5 + at;
    for (let size = 1; size < second + 5; size++) expect([size, helloAt(bytes.subarray(0, size))]).toEqual([size, 'more']);
    expect(helloAt(bytes.subarray(0, second + 5))).toBe('yes');
    expect(helloAt(bytes)).toBe('yes');
  });

  test.each<[string, Buffer]>([
    ['data', Buffer.from('1703010010', 'hex')],
    ['a type below all records', Buffer.from('1303010010', 'hex')],
    ['a version that no server accepts', Buffer.from('1610010010', 'hex')],
    ['a record that is too long', Buffer.from('1603014900', 'hex')],
  ])('cannot continue with %s', (_, next) => {
    expect(helloAt(Buffer.concat([record(22, hello.subarray(0, 30)), next]))).toBe('no');
  });
});

describe('the search for a ClientHello', () => {
  const inOldForm = (ciphers: number, session: number, challenge: number, size = 9 + ciphers + session + challenge) =>
    Buffer.concat([u16(0x8000 | size), Buffer.from('010303', 'hex'), u16(ciphers), u16(session), u16(challenge), Buffer.alloc(80)]);
  const text = Buffer.from('STARTTLS\r\n');

  test('finds the first one from an offset on', () => {
    const bytes = Buffer.concat([text, record(22, hello), text, record(22, hello)]);
    const second = 2 * text.length + 5 + hello.length;
    expect(findHello(bytes, 0)).toEqual({ at: text.length, seen: 'yes', isOld: false });
    expect(findHello(bytes, text.length)).toEqual({ at: text.length, seen: 'yes', isOld: false });
    expect(findHello(bytes, text.length + 1)).toEqual({ at: second, seen: 'yes', isOld: false });
    expect(findHello(bytes, second + 1)).toBeUndefined();
  });

  test('finds an incomplete one at the end', () => {
    expect(findHello(Buffer.concat([text, record(22, hello).subarray(0, 8)]), 0)).toEqual({ at: text.length, seen: 'more', isOld: false });
    expect(findHello(Buffer.from('a\x16', 'latin1'), 0)).toEqual({ at: 1, seen: 'more', isOld: false });
    expect(findHello(Buffer.from('a\x80', 'latin1'), 0)).toEqual({ at: 1, seen: 'more', isOld: true });
  });

  test('finds none in text, nor in bytes that only begin like one', () => {
    expect(findHello(text, 0)).toBeUndefined();
    expect(findHello(Buffer.alloc(0), 0)).toBeUndefined();
    expect(findHello(Buffer.from('\x16\x16\x16a\x80\x80bc', 'latin1'), 0)).toBeUndefined();
    expect(findHello(Buffer.from('über das', 'utf8'), 0)).toBeUndefined();
  });

  test('finds the format of SSL 2.0, also if it is incomplete', () => {
    const bytes = Buffer.concat([text, inOldForm(9, 0, 20)]);
    expect(findHello(bytes, 0)).toEqual({ at: text.length, seen: 'yes', isOld: true });
    for (let size = 1; size < 11; size++)
      expect(findHello(bytes.subarray(0, text.length + size), 0)).toEqual({ at: text.length, seen: 'more', isOld: true });
  });

  test.each<[string, Buffer]>([
    ['lengths that do not fill the message', inOldForm(9, 0, 20, 39)],
    ['half a cipher', inOldForm(10, 0, 20)],
    ['a session longer than 32 bytes', inOldForm(9, 33, 20)],
    ['a challenge longer than 32 bytes', inOldForm(9, 0, 33)],
    ['another message type', Buffer.concat([Buffer.of(0x80, 38, 2), inOldForm(9, 0, 20).subarray(3)])],
    ['another version', Buffer.concat([Buffer.of(0x80, 38, 1, 2), inOldForm(9, 0, 20).subarray(4)])],
  ])('the format of SSL 2.0 with %s is not recognized', (_, bytes) => {
    expect(findHello(bytes, 0)).toBeUndefined();
  });
});
