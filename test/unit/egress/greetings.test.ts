// Bytes that a program may send on a connection whose name is checked, and the functions that read them.
import { ClientGuard } from '../../../dist/egress/client-guard';
import { isForeignRequest, isOldRequest, readGreeting, readHello } from '../../../dist/egress/detect-protocol';
import { checkShape, hasBody } from '../../../dist/egress/http-text';
import { TlsClient } from '../../../dist/egress/tls-client';
import { clientHello, record, serverNames } from '../../support/hello';

const kind = (bytes: Buffer | string, isWeb = false) =>
  readGreeting(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes, 'latin1'), isWeb).kind;

describe('the first bytes', () => {
  const hello = clientHello({ names: [[0, 'good.test']] });

  test('of TLS are one complete ClientHello with one host name', () => {
    expect(readGreeting(record(22, hello), false)).toEqual({ kind: 'tls', serverName: 'good.test' });
    expect(readGreeting(record(22, clientHello({ names: [[0, 'GOOD.Test.']] })), false)).toEqual({ kind: 'tls', serverName: 'good.test' });
    expect(readGreeting(record(22, clientHello({})), false)).toEqual({ kind: 'tls' });
    expect(readGreeting(record(22, clientHello({ names: [[0, '93.184.216.34']] })), false)).toEqual({ kind: 'tls' });
    for (let cut = 1; cut < hello.length + 5; cut += 7) expect(kind(record(22, hello).subarray(0, cut))).toBe('more');
  });

  test.each<[string, Buffer]>([
    ['a warning before it', Buffer.concat([record(21, Buffer.of(1, 100)), record(22, hello)])],
    ['an empty ChangeCipherSpec before it', Buffer.concat([record(20, Buffer.alloc(0)), record(22, hello)])],
    ['data, a heartbeat, and types that there are none of', record(23, hello)],
    ['a heartbeat', record(24, hello)],
    ['type 25', record(25, hello)],
    ['an empty record first', Buffer.concat([record(22, Buffer.alloc(0)), record(22, hello)])],
    [
      'another record within it',
      Buffer.concat([record(22, hello.subarray(0, 9)), record(21, Buffer.of(1, 0)), record(22, hello.subarray(9))]),
    ],
    ['more behind it in its record', record(22, Buffer.concat([hello, Buffer.of(0)]))],
    ['two greetings in a record', record(22, Buffer.concat([hello, hello]))],
    ['another version', record(22, hello, 0x0200)],
    [
      'a name of another type first',
      record(
        22,
        clientHello({
          names: [
            [1, 'good.test'],
            [0, 'bad.test'],
          ],
        }),
      ),
    ],
    ['a name of another type', record(22, clientHello({ names: [[255, 'good.test']] }))],
    [
      'two names',
      record(
        22,
        clientHello({
          names: [
            [0, 'good.test'],
            [0, 'bad.test'],
          ],
        }),
      ),
    ],
    [
      'two lists of names',
      record(
        22,
        clientHello({
          extensions: [
            [0, serverNames([[0, 'good.test']])],
            [0, serverNames([[0, 'bad.test']])],
          ],
        }),
      ),
    ],
    ['an empty list', record(22, clientHello({ extensions: [[0, Buffer.of(0, 0)]] }))],
    [
      'bytes behind the list',
      record(22, clientHello({ extensions: [[0, Buffer.concat([serverNames([[0, 'good.test']]), Buffer.of(0)])]] })),
    ],
    ['a port in the name', record(22, clientHello({ names: [[0, 'bad.test:443']] }))],
    ['a zero in the name', record(22, clientHello({ names: [[0, 'bad.test\0.good.test']] }))],
    ['two dots at its end', record(22, clientHello({ names: [[0, 'good.test..']] }))],
    ['an encrypted hello', record(22, clientHello({ names: [[0, 'good.test']], extensions: [[0xfe0d, Buffer.alloc(40)]] }))],
    [
      'lengths past its end',
      record(22, clientHello({ extensions: [[0, Buffer.concat([Buffer.of(0, 200), serverNames([[0, 'good.test']])])]] })),
    ],
    ['a greeting of SSL 2.0', Buffer.from('802e0100020015', 'hex')],
    ['the header of proxies', Buffer.from('PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n')],
    ['the binary header of proxies', Buffer.from('0d0a0d0a000d0a515549540a2111000c', 'hex')],
  ])('%s is unreadable', (_, bytes) => {
    expect(kind(bytes)).toBe('unreadable');
    expect(kind(bytes, true)).toBe('unreadable');
  });

  test('a line is a request if some server accepts it as one', () => {
    for (const line of ['GET /x', 'GET key', 'get /x', 'post http://bad.test', 'PURGE *'])
      expect([line, isOldRequest(line)]).toEqual([line, true]);
    for (const line of [
      'SSH-2.0-x',
      'EHLO me',
      'USER bob',
      'a1 LOGIN x y',
      '*1',
      'hello there',
      'RETR /x',
      'CONNECT {"verbose":false}',
      '',
    ])
      expect([line, isOldRequest(line)]).toEqual([line, false]);
    expect(kind('GET /x\r\n')).toBe('http');
    expect(isForeignRequest(Buffer.from('GET /x RTSP/1.0\r\nHost: b\r\n'))).toBe(true);
    expect(isForeignRequest(Buffer.from('SOURCE /x ICE/1.0\r\n'))).toBe(true);
    expect(isForeignRequest(Buffer.from('EHLO me\r\nRTSP/1.0'))).toBe(false);
  });

  test('a handshake message that is not a ClientHello is unreadable', () => {
    expect(readHello(Buffer.from([2, 0, 0, 1, 0]))).toEqual({ kind: 'unreadable' });
    expect(readHello(Buffer.from([1, 1, 0, 0]))).toEqual({ kind: 'unreadable' });
  });
});

describe('TLS after its ClientHello', () => {
  const good = record(22, clientHello({ names: [[0, 'good.test']] }));
  const bad = clientHello({ names: [[0, 'bad.test']] });
  const ccs = record(20, Buffer.of(1));
  const ciphered = record(22, Buffer.alloc(40, 0xc7));
  const data = record(23, Buffer.alloc(100, 1));

  /** Returns the names that were checked, the bytes that were passed on, and all bytes. */
  function send(parts: readonly Buffer[], size = 1_000_000) {
    const names: (string | undefined)[] = [];
    const client = new TlsClient((name) => {
      if (name !== 'good.test') throw new Error(`refused ${name}`);
      names.push(name);
    });
    const all = Buffer.concat(parts);
    const passed: Buffer[] = [];
    for (let at = 0; at < all.length; at += size) passed.push(client.take(all.subarray(at, at + size)));
    return { names, passed: Buffer.concat(passed), all };
  }

  test.each([1, 2, 5, 7, 64, 1_000_000])('is passed on unchanged, in pieces of %d bytes', (size) => {
    const flows = [
      [good, ccs, data, data],
      [good, record(22, Buffer.concat([Buffer.of(16, 0, 0, 3), Buffer.alloc(3)])), ccs, ciphered, data],
      [
        good,
        record(22, Buffer.concat([Buffer.of(11, 0, 1, 0), Buffer.alloc(200)])),
        record(22, Buffer.concat([Buffer.alloc(56), Buffer.of(16, 0, 0, 1, 9)])),
        ccs,
        ciphered,
        data,
        record(21, Buffer.of(1, 0)),
      ],
      [good, data, ccs, data],
    ];
    for (const flow of flows) {
      const { passed, all } = send(flow, size);
      expect(passed.equals(all)).toBe(true);
    }
  });

  test.each([1, 3, 1000])('a second ClientHello must have the same name, in pieces of %d bytes', (size) => {
    expect(send([good, good, ccs, data], size).names).toEqual(['good.test']);
    expect(send([good, ccs, good, data], size).names).toEqual(['good.test']);
    const halves = [record(22, bad.subarray(0, 30)), record(22, bad.subarray(30))];
    for (const flow of [
      [good, record(22, bad)],
      [good, ccs, record(22, bad)],
      [good, ...halves],
      [good, ccs, ...halves],
      [good, data, record(22, bad)],
      [good, ccs, record(22, Buffer.concat([bad.subarray(0, 4), Buffer.of(4, 0), bad.subarray(6)]))],
    ])
      expect(() => send(flow, size)).toThrow('refused bad.test');
  });

  test('a second handshake, and records that hide a ClientHello, are refused', () => {
    const key = Buffer.of(16, 0, 0, 1, 9);
    for (const flow of [
      [good, ccs, ciphered, ciphered],
      [good, ccs, ciphered, data, ciphered],
      [good, ccs, record(22, bad.subarray(0, 5)), record(22, bad.subarray(5))],
      [good, record(22, Buffer.concat([key, bad]))],
      [good, record(22, Buffer.of(16, 0)), record(22, Buffer.of(0, 1, 9))],
      [good, record(22, Buffer.alloc(0))],
      [good, record(20, Buffer.alloc(0)), record(22, bad)],
      [good, record(99, Buffer.alloc(4))],
      [good, record(23, Buffer.alloc(4), 0x0200)],
    ])
      expect(() => send(flow)).toThrow();
  });
});

describe('bytes that are passed on as they arrive', () => {
  /** Returns the bytes that were passed on before a refusal, the error, and the names that were checked. */
  async function guard(spoken: 'tls' | 'other' | 'unsure', pieces: readonly (string | Buffer)[]) {
    const names: (string | undefined)[] = [];
    const stream = new ClientGuard(spoken, (name) => {
      names.push(name);
      if (name !== 'good.test') throw new Error(`refused ${name}`);
    });
    const passed: Buffer[] = [];
    let error: Error | undefined;
    stream.on('data', (chunk: Buffer) => passed.push(chunk));
    const ended = new Promise<void>((resolve) => {
      stream.once('error', (cause) => {
        error = cause;
        resolve();
      });
      stream.once('end', resolve);
    });
    for (const piece of pieces) stream.write(Buffer.isBuffer(piece) ? piece : Buffer.from(piece, 'latin1'));
    stream.end();
    await ended;
    return { passed: Buffer.concat(passed).toString('latin1'), error: error?.message, names };
  }

  test.each<[string, readonly string[]]>([
    ['a request', ['GET / HT', 'TP/1.1\r\n']],
    ['byte by byte', [...'GET / HTTP/1.1\r\n']],
    ['a request of HTTP/0.9', ['GET ', '/x', '\r\n']],
    ['another name for one', ['GET /x RT', 'SP/1.0\r\n']],
    ['a word of any length', ['A'.repeat(20_000), ' /x HT', 'TP/1.1\r\n']],
    ['blanks of any number', ['GET ', ' '.repeat(20_000), '/x H', 'TTP/1.1\r\n']],
    ['the same in HTTP/0.9', [`GET ${' '.repeat(8500)}`, '/x\r\n', 'Host: bad.test\r\n\r\n']],
    ['what no server overlooks', ['GET /\x01', 'x HTTP/1.1\r\n']],
    ['the header of proxies', ['PRO', 'XY TCP4 1.1.1.1 2.2.2.2 1 2\r\n']],
    ['the binary one', ['\r\n\r\n', '\0\r\nQUIT\n']],
    ['HTTP/2', ['PRI * HT', 'TP/2.0\r\n']],
  ])('%s in pieces is refused before it is complete', async (_, pieces) => {
    const { passed, error } = await guard('unsure', pieces);
    expect(error).toMatch(/began too late/);
    expect(passed).not.toMatch(/HTTP\/|RTSP\/|QUIT/);
  });

  test('other protocols are passed on, unless a line becomes a request', async () => {
    for (const pieces of [
      ['\x10\x20\0\x04MQTT', '\x04\xc2\0<', 'HTTP/'],
      ['\0\0\0\x08', 'user\0x\0\0', '\n GET / HTTP/1.1\r\n'],
      ['<?xml version="1.0"?>', '<stream:stream to="good.test">', '\n'],
    ]) {
      const { passed, error } = await guard('unsure', pieces);
      if (pieces.join('').split('\n')[0]?.includes('HTTP/')) expect(error).toMatch(/began too late/);
      else expect({ passed, error }).toEqual({ passed: pieces.join(''), error: undefined });
    }
    const ssh = await guard('other', ['SSH-2.0-x\r\n', '\0\0\x01\x02 HTTP/1.1\r\n']);
    expect(ssh).toMatchObject({ error: undefined, passed: 'SSH-2.0-x\r\n\0\0\x01\x02 HTTP/1.1\r\n' });
  });

  const hello = (name: string) => record(22, clientHello({ names: [[0, name]] }));
  const postgres = Buffer.from('0000000804d2162f', 'hex');
  const mysql = Buffer.concat([Buffer.from('2000000105', 'hex'), Buffer.of(0x0a), Buffer.alloc(30)]);
  test.each<[string, readonly (string | Buffer)[]]>([
    ['SMTP', ['EHLO me\r\n', 'STARTTLS\r\n']],
    ['IMAP', ['a1 starttls\r\n']],
    ['POP3', ['STLS\r\n']],
    ['FTP', ['AUTH TLS\r\n']],
    ['blanks around it', [' STARTTLS', ' '.repeat(900), '\r\n']],
    ['XMPP in two tags', ['<t:starttls xmlns:t="urn:ietf:params:xml:ns:xmpp-tls">', '</t:starttls>\n']],
    ['what a server throws away', ['STARTTLS\r\n', 'NOOP\r\n']],
    ['PostgreSQL, by another length', [Buffer.from('0000000904d2162f00', 'hex')]],
    ['PostgreSQL, by another cipher first', [Buffer.from('0000000804d21630', 'hex'), Buffer.from('0000000804d2162f', 'hex')]],
    ['LDAP with a control', ['\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037\xa0\x04\x30\x02\x04\x00']],
    ['words that nobody here knows', ['AMQP\x02\x01\0\0', 'x'.repeat(70_000)]],
    ['bytes that begin as a greeting does', ['\x16\x03', '\x16\x03\x01\x02\0\x02']],
    ['XMPP', ['<stream:stream to="x">', '<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>']],
    ['LDAP', ['\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037']],
    ['PostgreSQL', [postgres]],
    ['MySQL', [mysql]],
    ['after much else', ['NOOP\r\n'.repeat(20_000), 'START', 'TLS\r\n']],
  ])('TLS that begins later is checked: %s', async (_, before) => {
    const all = Buffer.concat(before.map((piece) => (Buffer.isBuffer(piece) ? piece : Buffer.from(piece, 'latin1'))));
    for (const cut of [
      (name: string) => [...before, hello(name)],
      (name: string) => [Buffer.concat([all, hello(name)])],
      (name: string) => [...before, hello(name).subarray(0, 9), hello(name).subarray(9)],
    ]) {
      const good = await guard('other', cut('good.test'));
      expect({ names: good.names, error: good.error, size: good.passed.length }).toEqual({
        names: ['good.test'],
        error: undefined,
        size: all.length + hello('good.test').length,
      });
      const bad = await guard('other', cut('bad.test'));
      expect(bad.error).toBe('refused bad.test');
      expect(bad.passed).toBe(all.toString('latin1'));
    }
    for (const before of [record(21, Buffer.of(1, 0)), record(20, Buffer.of(1))])
      expect((await guard('other', [all, before, hello('bad.test')])).error).toBe('refused bad.test');
    const halves = clientHello({ names: [[0, 'good.test']] });
    const apart = [record(22, halves.subarray(0, 50)), record(21, Buffer.of(1, 0)), record(22, halves.subarray(50))];
    expect((await guard('other', [all, ...apart])).error).toBe('unreadable');
    expect((await guard('other', [all, record(22, halves, 0x0f01)])).error).toBe('unreadable');
    expect((await guard('other', [all, hello('bad.test').subarray(0, 20)])).error).toBe('unreadable');
    expect((await guard('other', [all, 'no after all\r\n'])).error).toBeUndefined();
  });

  const inOldForm = Buffer.from(`8026010303${'0009'}${'0000'}${'0014'}${'00002f'.repeat(3)}${'07'.repeat(20)}`, 'hex');
  test.each([1, 2, 3, 4, 11, 40])('a ClientHello in the format of SSL 2.0 is refused, cut at %d', async (at) => {
    const { passed, error } = await guard('unsure', [inOldForm.subarray(0, at), inOldForm.subarray(at)]);
    expect(error).toBe('unreadable');
    expect(passed.length).toBeLessThan(7);
    expect((await guard('other', ['STARTTLS\n', inOldForm])).error).toBe('unreadable');
  });

  test('TLS within another protocol may have no server name', async () => {
    const plain = record(22, clientHello({}));
    expect((await guard('other', ['STARTTLS\n', plain])).error).toBeUndefined();
    expect((await guard('unsure', ['\x15', '\x03\x01\0\x02\x01\0', plain])).error).toBe('refused undefined');
  });

  test('bytes that are not TLS are passed on unchanged and without delay', async () => {
    const all = Buffer.alloc(1 << 20, 0);
    for (let at = 0, state = 1; at < all.length; at++) {
      state = (state * 1103515245 + 12345) % 2147483648;
      all[at] = state >> 16;
    }
    all[0] = 1;
    const whole = await guard('other', [all]);
    expect(whole).toMatchObject({ error: undefined, passed: all.toString('latin1') });
    const cut = await guard(
      'other',
      Array.from({ length: 5000 }, (_, index) => all.subarray(index, index + 1)),
    );
    expect(cut).toMatchObject({ error: undefined, passed: all.toString('latin1', 0, 5000) });
    const words = 'STLS\n'.repeat(13_000);
    expect(await guard('other', [words])).toMatchObject({ error: undefined, passed: words });
    const last = 'hi\nSTARTTLS\n\xc3\xbcber\x16\x03';
    expect(await guard('other', [last])).toMatchObject({ error: undefined, passed: last });
  });

  test('messages of other protocols that begin like a TLS record are recognized', () => {
    for (const start of ['1401000001000000', '15010000070000000000', '1601000001000000', '140100018da20b00'])
      expect([start, kind(Buffer.from(start + '00'.repeat(300), 'hex'))]).toEqual([start, 'other']);
    expect(kind(Buffer.from('15010000020100', 'hex'))).toBe('unreadable');
  });
});

describe('requests that two servers read differently', () => {
  const request = (headers: readonly string[], more: object = {}) => {
    const parsed: Record<string, string> = {};
    for (let at = 0; at + 1 < headers.length; at += 2) parsed[(headers[at] ?? '').toLowerCase()] = headers[at + 1] ?? '';
    return { rawHeaders: headers, headers: parsed, url: '/', httpVersion: '1.1', method: 'GET', ...more } as never;
  };
  const host = ['Host', 'good.test'];

  test.each<[string, readonly string[], object]>([
    ['another version', host, { httpVersion: '2.0' }],
    ['no version', host, { httpVersion: '0.9' }],
    ['two codings', [...host, 'Transfer-Encoding', 'gzip, chunked'], {}],
    ['a coding of HTTP/1.0', [...host, 'Transfer-Encoding', 'chunked'], { httpVersion: '1.0' }],
    ['a length with a zero before it', [...host, 'Content-Length', '02'], {}],
    ['an underscore for a dash', [...host, 'Content_Length', '5'], {}],
    ['a user in the URL', host, { url: 'http://bad.test@good.test/' }],
    ['a fragment', host, { url: '/a#b' }],
    ['a backslash', host, { url: '/a\\b' }],
    ['two hosts', [...host, 'host', 'good.test'], {}],
    ['no host', [], {}],
  ])('%s is refused', (_, headers, more) => {
    expect(() => checkShape(request(headers, more))).toThrow();
  });

  test('other requests are accepted, and their bodies are detected', () => {
    expect(() => checkShape(request(host))).not.toThrow();
    expect(() => checkShape(request([], { httpVersion: '1.0' }))).not.toThrow();
    expect(() => checkShape(request([...host, 'Transfer-Encoding', 'Chunked']))).not.toThrow();
    expect(hasBody(request([...host, 'Content-Length', '5']))).toBe(true);
    expect(hasBody(request([...host, 'Content-Length', '0']))).toBe(false);
  });
});
