import {
  firstNotBlank,
  hasProxySignature,
  isForeignRequest,
  isForProxy,
  isOldRequest,
  isOpenLine,
  readGreeting,
  readHello,
} from '../../../dist/egress/detect-protocol';
import { clientHello, record } from '../../support/hello';

const latin = (text: string) => Buffer.from(text, 'latin1');

describe('the protocol of the first bytes', () => {
  test.each<[string, string, string, string]>([
    ['nothing', '', 'more', 'more'],
    ['only blanks', ' \r\n\t', 'more', 'more'],
    ['a request', 'GET / HTTP/1.1\r\n', 'http', 'http'],
    ['a line of text', 'EHLO me\r\n', 'other', 'http'],
    ['a request of RTSP', 'DESCRIBE /x RTSP/1.0\r\n', 'other', 'unreadable'],
    ['a request of ICE', 'SOURCE /x ice/1.0\r\n', 'other', 'unreadable'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http2', 'http2'],
    ['the start of the PROXY header', 'PROX', 'more', 'more'],
    ['the PROXY header', 'PROXY UNKNOWN\r\n', 'unreadable', 'unreadable'],
    ['the start of its binary form', '\r\n\r\n\0', 'unreadable', 'unreadable'],
    ['half an alert of another version', '\x15\x01\0\0', 'more', 'more'],
    ['an alert of another version', '\x15\x01\0\0\x02', 'unreadable', 'unreadable'],
    ['an alert of a version that no server accepts', '\x15\x10\0\0\x02', 'other', 'http'],
    ['one byte of a record', '\x16', 'more', 'more'],
    ['a byte above 127', '\x80', 'more', 'more'],
    ['a length field of another protocol', '\x80\0\x02\0', 'other', 'http'],
  ])('%s', (_, text, kind, kindOnWebPort) => {
    expect(readGreeting(latin(text), false)).toEqual({ kind });
    expect(readGreeting(latin(text), true)).toEqual({ kind: kindOnWebPort });
  });

  test('a protocol that is still unclear after 16 KiB is unreadable', () => {
    expect(readGreeting(latin(' '.repeat(16_383)), false)).toEqual({ kind: 'more' });
    expect(readGreeting(latin(' '.repeat(16_384)), false)).toEqual({ kind: 'unreadable' });
  });
});

describe('a ClientHello', () => {
  const body = (text: string) => {
    const bytes = Buffer.from(text.replaceAll(' ', ''), 'hex');
    return Buffer.concat([Buffer.of(1, 0, bytes.length >> 8, bytes.length & 0xff), bytes]);
  };
  const start = `0303 ${'07'.repeat(32)} 00 0002 1301 0100`;

  test('without extensions has no name', () => {
    expect(readHello(body(start))).toEqual({ kind: 'tls' });
    expect(readGreeting(record(22, body(start)), false)).toEqual({ kind: 'tls' });
  });

  test.each([
    ['an extension that is no name', `${start} 0004 0017 0000`, { kind: 'tls' }],
    ['an extension past the end', `${start} 0004 0017 0001`, { kind: 'unreadable' }],
    ['bytes after the extensions', `${start} 0004 0017 0000 00`, { kind: 'unreadable' }],
    ['only a version', '0303', { kind: 'unreadable' }],
  ])('with %s is read', (_, text, expected) => {
    expect(readHello(body(text))).toEqual(expected);
  });

  test('is incomplete until all of it is there', () => {
    const whole = clientHello({ names: [[0, 'good.test']] });
    for (let size = 0; size < whole.length; size++) expect(readHello(whole.subarray(0, size))).toEqual({ kind: 'more' });
    expect(readHello(whole)).toEqual({ kind: 'tls', serverName: 'good.test' });
  });
});

describe('the first line', () => {
  test.each([
    ['', true],
    ['GET /', true],
    ['GET /\n', false],
    ['\r\n\r\nGET /', true],
    ['\r\n\r\nGET /\n', false],
  ])('%j is incomplete: %s', (text, expected) => {
    expect(isOpenLine(latin(text))).toBe(expected);
  });

  test.each([
    ['ANNOUNCE /x rtsp/1.0', true],
    ['\r\n SOURCE /x ICE/1.0\r\n', true],
    ['GET /x HTTP/1.1\r\n', false],
    ['EHLO me\r\nRTSP/', false],
  ])('%j is a request by another mark: %s', (text, expected) => {
    expect(isForeignRequest(latin(text))).toBe(expected);
  });

  test.each([
    ['PROXY TCP4', true],
    ['PROXY', false],
    [' PROXY TCP4', false],
    ['proxy TCP4', false],
  ])('%j is a header of the PROXY protocol: %s', (text, expected) => {
    expect(isForProxy(text)).toBe(expected);
  });

  test.each([
    ['GET x', true],
    ['get x', false],
    ['HEAD ?x', true],
    ['GET\x85/x', true],
    ['GET / HTTP/1.0', false],
    ['GET', false],
    ['HELO /x', false],
  ])('%j is a request of HTTP/0.9: %s', (text, expected) => {
    expect(isOldRequest(text)).toBe(expected);
  });

  test('begins after every kind of blank', () => {
    expect(firstNotBlank(latin('\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0x'))).toBe(12);
    expect(firstNotBlank(latin('x '))).toBe(0);
    expect(firstNotBlank(latin('  '))).toBe(2);
    expect(firstNotBlank(latin('\0'))).toBe(0);
  });
});

describe('the binary header of the PROXY protocol', () => {
  const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

  test('is recognized from its fifth byte on', () => {
    for (let size = 0; size <= signature.length; size++)
      expect([size, hasProxySignature(signature.subarray(0, size))]).toEqual([size, size >= 5]);
    expect(hasProxySignature(Buffer.concat([signature, Buffer.from('2111000c', 'hex')]))).toBe(true);
  });

  test('is not recognized if any byte differs', () => {
    for (let at = 0; at < signature.length; at++) {
      const other = Buffer.from(signature);
      other[at] = 0x41;
      expect([at, hasProxySignature(other)]).toEqual([at, false]);
    }
  });
});

describe('a server name that servers could read as another name', () => {
  test.each([
    'good.test/.bad.test',
    'good.test?x',
    'good.test#x',
    'good.test\\x',
    '%67ood.test',
    'go\tod.test',
    'g\u00f6od.test',
    'good\u00b7test',
  ])('%j is refused', (name) => {
    expect(readGreeting(record(22, clientHello({ names: [[0, name]] })), false)).toEqual({ kind: 'unreadable' });
  });
});
