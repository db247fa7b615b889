import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import {
  answer,
  checkShape,
  closing,
  endToEnd,
  hasBody,
  headSize,
  headText,
  hostOf,
  namesIn,
  pathOf,
} from '../../../dist/egress/http-text';
import { thrown } from '../../support/host';

type Fields = Partial<Pick<IncomingMessage, 'url' | 'method' | 'httpVersion' | 'statusCode' | 'statusMessage'>>;

/** Returns a message as Node's parser does: the first of several headers with the same name is used. */
function message(rawHeaders: readonly string[], fields: Fields = {}): IncomingMessage {
  const headers: Record<string, string> = {};
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) headers[(rawHeaders[at] ?? '').toLowerCase()] ??= rawHeaders[at + 1] ?? '';
  const all = { rawHeaders: [...rawHeaders], headers, url: '/', method: 'GET', httpVersion: '1.1', ...fields };
  return Object.defineProperties(new IncomingMessage(new Socket()), Object.getOwnPropertyDescriptors(all)) as IncomingMessage;
}
const withHost = (host: string, url = '/', fields: Fields = {}) => message(['Host', host], { url, ...fields });
const without = (target: IncomingMessage) => Object.defineProperty(target, 'url', { value: undefined });

describe('headers that are passed on', () => {
  test('are those of the message, in their order and case', () => {
    const raw = ['Host', 'a.test', 'X-One', '1', 'Set-Cookie', 'a', 'Set-Cookie', 'b'];
    expect(endToEnd(raw)).toEqual(raw);
  });

  test.each([
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'Proxy-Authorization',
    'TE',
    'Trailer',
    'Upgrade',
    'Expect',
    'Transfer-Encoding',
  ])('%s belongs to the connection', (name) => {
    expect(endToEnd([name, 'x', 'Accept', '*/*'])).toEqual(['Accept', '*/*']);
  });

  test('are without those that Connection lists, except Host and Content-Length', () => {
    const raw = ['X-One', '1', 'x-TWO', '2', 'Host', 'a.test', 'Content-Length', '3', 'X-Three', '3'];
    expect(endToEnd(raw, 'close, x-one ,X-Two,Host, content-length')).toEqual(['Host', 'a.test', 'Content-Length', '3', 'X-Three', '3']);
  });
});

describe('the shape of a request', () => {
  test.each<[string, readonly string[], Fields, string, string]>([
    ['another version', ['Host', 'a.test'], { httpVersion: '2.0' }, 'protocol', 'HTTP/2.0'],
    ['an underscore in the name of a header that decides', ['Host', 'a.test', 'Content_Length', '1'], {}, 'protocol', 'content_length'],
    ['another coding', ['Host', 'a.test', 'Transfer-Encoding', 'gzip'], {}, 'protocol', 'transfer-encoding: gzip'],
    ['a length that is no number', ['Host', 'a.test', 'Content-Length', '+1'], {}, 'protocol', 'content-length: +1'],
    ['a fragment in the URL', ['Host', 'a.test'], { url: '/#x' }, 'protocol', 'a malformed URL'],
    ['no host', [], {}, 'host', 'none'],
    ['several hosts', ['Host', 'a.test', 'host', 'a.test'], {}, 'host', 'several'],
  ])('%s is refused', (_, headers, fields, reason, detail) => {
    expect(thrown(() => checkShape(message(headers, fields)))).toMatchObject({ reason, detail: expect.stringContaining(detail) });
  });

  test.each<[string, readonly string[], Fields]>([
    ['a plain request', ['Host', 'a.test'], {}],
    ['an @ in the query', ['Host', 'a.test'], { url: 'http://a.test/?x=a@b' }],
    ['an underscore in another header', ['Host', 'a.test', 'X_Other', '1'], {}],
    ['no host in HTTP/1.0', [], { httpVersion: '1.0' }],
    ['a length', ['Host', 'a.test', 'Content-Length', '10'], {}],
  ])('%s is accepted', (_, headers, fields) => {
    expect(() => checkShape(message(headers, fields))).not.toThrow();
  });

  test('a missing URL is accepted as an empty one', () => {
    expect(() => checkShape(without(withHost('a.test')))).not.toThrow();
  });

  test.each([
    [['Host', 'a.test'], false],
    [['Content-Length', '0'], false],
    [['Content-Length', '1'], true],
    [['Transfer-Encoding', 'chunked'], true],
  ])('with the headers %j it has a body: %s', (headers, expected) => {
    expect(hasBody(message(headers))).toBe(expected);
  });
});

describe('the host of a request', () => {
  test.each<[string, string, string, { name: string; port?: number }]>([
    ['a path', 'Good.Test', '/x', { name: 'good.test' }],
    ['a port', 'good.test:8080', '/', { name: 'good.test', port: 8080 }],
    ['a dot at its end', 'good.test.', '/', { name: 'good.test' }],
    ['a URL', 'good.test', 'http://GOOD.test/x', { name: 'good.test' }],
    ['a URL with the same port', 'good.test:81', 'http://good.test:81/', { name: 'good.test', port: 81 }],
    ['a URL without the usual port', 'good.test:80', 'HTTP://good.test/', { name: 'good.test', port: 80 }],
    ['a URL with the usual port', 'good.test', 'http://good.test:80/', { name: 'good.test' }],
  ])('is read: %s', (_, host, url, expected) => {
    expect(hostOf(withHost(host, url))).toEqual({ port: undefined, ...expected });
  });

  test('is read if the request is about the whole server', () => {
    expect(hostOf(withHost('good.test', '*', { method: 'OPTIONS' }))).toEqual({ name: 'good.test', port: undefined });
  });

  test.each<[string, IncomingMessage, string, string]>([
    ['none', message([]), 'host', 'none'],
    ['several', message(['Host', 'a.test', 'HOST', 'a.test']), 'host', 'several'],
    ['an address', withHost('10.0.0.1'), 'host', '10.0.0.1'],
    ['a user', withHost('a@b.test'), 'host', 'a@b.test'],
    ['a port with a zero before it', withHost('a.test:080'), 'host', 'a.test:080'],
    ['a path', withHost('a.test/x'), 'host', 'a.test/x'],
    ['a very long text', withHost('a'.repeat(300)), 'host', 'a'.repeat(255)],
    ['another host in the URL', withHost('a.test', 'http://b.test/'), 'host', 'Host names a.test, but the URL names b.test'],
    ['another port in the URL', withHost('a.test:81', 'http://a.test:82/'), 'host', 'Host and URL name different ports: 81 and 82'],
    ['a malformed URL', withHost('a.test', 'http://'), 'host', 'an empty host'],
    ['a * of another method', withHost('a.test', '*'), 'protocol', 'the request target is neither a path nor an http: URL'],
    ['another scheme', withHost('a.test', 'https://a.test/'), 'protocol', 'the request target is neither a path nor an http: URL'],
    ['no URL', without(withHost('a.test')), 'protocol', 'the request target is neither a path nor an http: URL'],
  ])('is refused: %s', (_, request, reason, detail) => {
    expect(thrown(() => hostOf(request))).toMatchObject({ reason, detail });
  });
});

describe('all host names in a request', () => {
  test.each<[string, IncomingMessage, readonly string[]]>([
    ['the header', withHost('A.test:80'), ['a.test']],
    ['several headers', message(['Host', 'a.test', 'X', 'Host', 'host', 'b.test']), ['a.test', 'b.test']],
    ['the header and the URL', withHost('a.test', 'http://b.test:8080/x'), ['a.test', 'b.test']],
    ['no addresses', withHost('10.0.0.1:80', 'http://[2001:db8::1]:8080/'), []],
    ['an IPv6 address without a port', withHost('[::1]'), []],
    ['none', message([]), []],
    ['no URL', without(withHost('a.test')), ['a.test']],
  ])('%s', (_, request, expected) => {
    expect(namesIn(request)).toEqual(expected);
  });

  test.each<[string, IncomingMessage, string]>([
    ['a name with a blank', withHost('a b'), 'a b'],
    ['a port that is too long', withHost('a.test:123456'), 'a.test:123456'],
    ['a malformed URL', withHost('a.test', 'http://:x'), 'an empty host'],
  ])('are refused with %s', (_, request, detail) => {
    expect(thrown(() => namesIn(request))).toMatchObject({ reason: 'host', detail });
  });
});

describe('the path of a request', () => {
  test.each([
    ['/x?y=1', '/x?y=1'],
    ['*', '*'],
    ['http://a.test/x/y?z=1', '/x/y?z=1'],
    ['HTTPS://a.test', '/'],
  ])('of %s is %s', (url, expected) => {
    expect(pathOf(withHost('a.test', url))).toBe(expected);
  });

  test('of a request without a URL is the root', () => {
    expect(pathOf(without(withHost('a.test')))).toBe('/');
  });

  test('of a malformed URL is refused', () => {
    expect(thrown(() => pathOf(withHost('a.test', 'http://a b/')))).toMatchObject({ reason: 'protocol', detail: 'malformed URL' });
  });
});

describe('responses', () => {
  /** Returns the bytes of an answer on the connection. */
  function sent(status: number, text: string): string {
    const response = new ServerResponse(message([]));
    const connection = new PassThrough();
    response.sendDate = false;
    response.assignSocket(connection as unknown as Socket);
    answer(response, status, text);
    return String(connection.read());
  }

  test.each([
    [400, 'Bad Request'],
    [403, 'Forbidden'],
    [417, 'Expectation Failed'],
    [502, 'Bad Gateway'],
  ])('with the status %d has the text %s and ends the connection', (status, text) => {
    const expected = /^HTTP\/1\.1 (\d+ [\w ]+)\r\n/;
    expect(expected.exec(sent(status, 'x'))?.[1]).toBe(`${status} ${text}`);
    expect(expected.exec(closing(status, 'x'))?.[1]).toBe(`${status} ${text}`);
    expect(sent(status, 'x')).toMatch(/\r\nconnection: close\r\n/i);
  });

  test('has the size of its body in bytes', () => {
    expect(closing(403, 'größer')).toBe(
      'HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 15\r\n\r\nnsjs: größer\n',
    );
  });

  test('contains the explanation in its body', () => {
    const [head = '', body] = sent(403, 'host: a.test').split('\r\n\r\n');
    expect(head.toLowerCase().split('\r\n')).toContain('content-type: text/plain; charset=utf-8');
    expect(body).toBe('nsjs: host: a.test\n');
    expect(sent(418, 'no such text')).toMatch(/^HTTP\/1\.1 418 *\r\n/);
  });

  test('of the server are passed on with their status and headers', () => {
    const incoming = message([], { statusCode: 404, statusMessage: 'Nothing Here' });
    expect(headText(incoming, ['X-One', '1', 'x-two', '2'])).toBe('HTTP/1.1 404 Nothing Here\r\nX-One: 1\r\nx-two: 2\r\n\r\n');
    expect(headText(incoming, [])).toBe('HTTP/1.1 404 Nothing Here\r\n\r\n');
  });
});

test('the size of a head grows with its URL and its headers', () => {
  expect(headSize(message([], { url: '/' }))).toBe(17);
  expect(headSize(message(['Host', 'a.test'], { url: '/abc' }))).toBe(16 + 4 + (4 + 2) + (6 + 2));
  expect(headSize(without(message([])))).toBe(16);
});
