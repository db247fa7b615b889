import { canonicalIp, cidrContains, cidrsOverlap, ipBytes, ipText, parseCidr } from '../../../dist/base/ip';
import { readGreeting } from '../../../dist/egress/detect-protocol';
import { decodeQuery, encodeAnswer, encodeFormatError } from '../../../dist/egress/dns-message';
import { NameBook } from '../../../dist/egress/name-addresses';
import { merged } from '../../../dist/egress/nft-rules';
import { isSpecialAddress, listed, matches, normalName, parseEndpoint, parseRule } from '../../../dist/features/egress-rules';
import { AddressPool } from '../../../dist/network/addresses';
import { thrown } from '../../support/host';

describe('rules', () => {
  const rule = (text: string) => parseRule(text, 'r');

  test.each([
    ['good.test', { name: 'good.test', ports: [1, 65_535] }],
    ['GOOD.test.:443', { name: 'good.test', ports: [443, 443] }],
    ['*.good.test:80-90', { suffix: '.good.test', ports: [80, 90] }],
    ['*', { ports: [1, 65_535] }],
    ['*:53', { ports: [53, 53] }],
    ['10.0.0.0/8:5432', { cidr: { address: '10.0.0.0', prefix: 8 }, ports: [5432, 5432] }],
    ['10.1.2.3', { cidr: { address: '10.1.2.3', prefix: 32 }, ports: [1, 65_535] }],
    ['[2001:db8::]/32:443', { cidr: { address: '2001:db8::', prefix: 32 }, ports: [443, 443] }],
    ['fd00::/8', { cidr: { address: 'fd00::', prefix: 8 }, ports: [1, 65_535] }],
    ['::ffff:10.0.0.1', { cidr: { address: '10.0.0.1', prefix: 32 }, ports: [1, 65_535] }],
    ['bücher.test', { name: 'xn--bcher-kva.test', ports: [1, 65_535] }],
  ])('%s is parsed', (text, expected) => {
    expect(rule(text)).toEqual(expected);
  });

  test.each([
    '',
    'a b',
    'good.test:0',
    'good.test:70000',
    'good.test:9-1',
    '1.2.3.4/33',
    '*.*.test',
    '2130706433',
    '0x7f000001',
    '0177.1',
    'a..b',
    '[::1',
    'http://x',
  ])('%j is not a rule', (text) => {
    expect(thrown(() => rule(text))).toMatchObject({ name: 'OptionError', path: 'r' });
  });

  test('endpoints have one port', () => {
    expect(parseEndpoint('db.local:5432', 'e')).toEqual({ host: 'db.local', port: 5432 });
    expect(parseEndpoint('[::1]:80', 'e')).toEqual({ host: '::1', port: 80 });
    expect(thrown(() => parseEndpoint('db.local', 'e'))).toMatchObject({ path: 'e' });
  });

  test('deny wins, * covers only public addresses, and a wildcard covers only names below it', () => {
    const lists = { allow: [rule('*'), rule('10.0.0.0/8')], deny: [rule('bad.test'), rule('10.6.6.0/24')] };
    expect(listed(lists, { name: 'good.test', port: 1 })).toBe('allow');
    expect(listed(lists, { name: 'bad.test', port: 1 })).toBe('deny');
    expect(listed(lists, { address: '10.1.1.1', port: 1 })).toBe('allow');
    expect(listed(lists, { address: '10.6.6.6', port: 1 })).toBe('deny');
    expect(listed(lists, { address: '64:ff9b::a06:606', port: 1 })).toBe('deny');
    expect(listed(lists, { address: '192.168.0.1', port: 1 })).toBeUndefined();
    expect(matches(rule('*.good.test'), { name: 'good.test' })).toBe(false);
    expect(matches(rule('*.good.test'), { name: 'a.b.good.test' })).toBe(true);
    expect(matches(rule('*.good.test'), { name: 'evilgood.test' })).toBe(false);
  });

  test('special addresses are recognized in every notation', () => {
    const special = [
      '127.0.0.1',
      '10.0.0.1',
      '172.31.0.1',
      '192.168.1.1',
      '169.254.169.254',
      '100.64.0.1',
      '0.0.0.0',
      '224.0.0.1',
      '255.255.255.255',
      '::',
      '::1',
      'fe80::1',
      'fd00:ec2::254',
      'ff02::1',
      '::ffff:127.0.0.1',
      '64:ff9b::7f00:1',
      '168.63.129.16',
      '::ffff:0:a9fe:a9fe',
      '64:ff9b::a9fe:a9fe',
      '2002:7f00:1::',
      '::7f00:1',
    ];
    expect(special.filter((address) => !isSpecialAddress(address))).toEqual([]);
    const open = ['1.1.1.1', '93.184.216.34', '172.32.0.1', '2606:4700::1111', '64:ff9b::101:101', '::ffff:8.8.8.8'];
    expect(open.filter(isSpecialAddress)).toEqual([]);
  });

  test('names are normalized', () => {
    expect(normalName('Exa_mple.TEST.')).toBe('exa_mple.test');
    expect(['127.1', 'a..b', '-a.test', 'x'.repeat(64), '1', 'a b', ''].map(normalName)).toEqual(Array(7).fill(undefined));
  });
});

describe('addresses', () => {
  test('bytes and text are converted to each other', () => {
    for (const text of ['1.2.3.4', '::', '::1', '2001:db8::5', 'fe80::1:2:3:4', '1:2:3:4:5:6:7:8'])
      expect(ipText(ipBytes(text))).toBe(text);
    expect(canonicalIp('::ffff:1.2.3.4')).toBe('1.2.3.4');
    expect(canonicalIp('fe80::1%eth0')).toBe('fe80::1');
    expect(cidrContains(parseCidr('10.1.0.0/15', 'c'), '10.0.255.255')).toBe(true);
    expect(cidrContains(parseCidr('10.1.0.0/16', 'c'), '10.2.0.0')).toBe(false);
    expect(cidrContains(parseCidr('::/0', 'c'), '1.2.3.4')).toBe(false);
    expect(cidrsOverlap(parseCidr('10.0.0.0/8', 'a'), parseCidr('10.5.0.0/24', 'b'))).toBe(true);
  });

  test('ranges that touch are merged', () => {
    const ranges = merged(
      ['10.0.0.0/9', '10.128.0.0/9', '192.168.0.1/32', '10.1.0.0/16', '255.255.255.255/32'].map((text) => parseCidr(text, 'c')),
    );
    expect(ranges.map(({ first, end }) => [ipText(first), end && ipText(end)])).toEqual([
      ['10.0.0.0', '11.0.0.0'],
      ['192.168.0.1', '192.168.0.2'],
      ['255.255.255.255', undefined],
    ]);
  });

  test('a pool returns no address twice, and never its own', () => {
    const pool = new AddressPool(parseCidr('10.0.0.0/29', 'p'));
    const all = Array.from({ length: 5 }, () => pool.take());
    expect(all).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']);
    expect(thrown(() => pool.take())).toMatchObject({ code: 'ERR_NSJS_NETWORK' });
    pool.give('10.0.0.4');
    pool.give('10.0.0.1');
    expect(pool.take()).toBe('10.0.0.4');
    expect(thrown(() => pool.take('10.0.0.1'))).toMatchObject({ code: 'ERR_NSJS_NETWORK' });
    expect(new AddressPool(parseCidr('fd00::/64', 'p')).take()).toBe('fd00::2');
  });

  test('a book of names has one address for each name', () => {
    const book = new NameBook();
    const first = book.addressOf('a.test');
    expect(book.addressOf('b.test')).not.toBe(first);
    expect(book.addressOf('a.test')).toBe(first);
    expect(book.nameOf(first ?? '')).toBe('a.test');
  });
});

describe('DNS', () => {
  const query = (...labels: readonly string[]) =>
    Buffer.concat([
      Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
      ...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')])),
      Buffer.from([0, 0, 1, 0, 1]),
    ]);

  test('a query is read, and answered with its own bytes', () => {
    const asked = decodeQuery(query('Good', 'TEST'));
    expect(asked).toMatchObject({ id: 0x1234, name: 'good.test', type: 1, recursion: true });
    const answer = asked && encodeAnswer(asked, { code: 0, addresses: ['198.18.0.16'] });
    expect(answer?.toString('latin1')).toContain('Good');
    expect(answer?.subarray(-4)).toEqual(Buffer.from([198, 18, 0, 16]));
  });

  test('malformed queries and responses are not read', () => {
    const whole = query('good', 'test');
    for (let size = 0; size < whole.length; size++) expect(decodeQuery(whole.subarray(0, size))).toBeUndefined();
    expect(decodeQuery(query('good.evil', 'test'))).toBeUndefined();
    expect(decodeQuery(query('a\0b'))).toBeUndefined();
    const answer = Buffer.from(whole);
    answer[2] = 0x81;
    expect(decodeQuery(answer)).toBeUndefined();
    expect(encodeFormatError(answer)).toBeUndefined();
    expect(encodeFormatError(whole)?.subarray(0, 4)).toEqual(Buffer.from([0x12, 0x34, 0x80, 0x81]));
  });
});

describe('greetings', () => {
  const text = (greeting: string, isWeb = false) => readGreeting(Buffer.from(greeting), isWeb).kind;

  test('HTTP and its beginnings are recognized', () => {
    expect(text('GET / HTTP/1.1\r\n')).toBe('http');
    expect(text('\r\n\r\nget /x http/1.0\n')).toBe('http');
    expect(text('GET / HT')).toBe('more');
    expect(text('SSH-2.0-OpenSSH\r\n')).toBe('other');
    expect(text('\0\0')).toBe('other');
    expect(text('hello there\n')).toBe('other');
    expect(text('hello there\n', true)).toBe('http');
    expect(text('PRI * HTTP/2.0\r\n')).toBe('http2');
    expect(text('PRI * H', true)).toBe('more');
    expect(text('')).toBe('more');
    expect(text(' GET / HTTP/1.1\r\n')).toBe('http');
    expect(text('_G')).toBe('more');
    // Some servers also accept these as requests: words of any length, other blanks, a line without a line feed.
    expect(text(`${'A'.repeat(65)} / HTTP/1.1\r\n`)).toBe('http');
    for (const blank of ['\v', '\f', '\r', '\x1c', '\x1f', '\x85', '\xa0'])
      expect(readGreeting(Buffer.from(`GET${blank}/secret${blank}HTTP/1.1\r\n`, 'latin1'), false).kind).toBe('http');
    expect(readGreeting(Buffer.from('\x1c\x85GET / HTTP/1.1\r\n', 'latin1'), false).kind).toBe('http');
    expect(text('GET / HTTP/1.1\rHost: evil\r\r')).toBe('http');
    expect(text('{"a": 1')).toBe('more');
    expect(text('{"a": 1}\n')).toBe('other');
    expect(text(`{"a": "${'x'.repeat(17_000)}`)).toBe('other');
    expect(text('\x10\0')).toBe('other');
    expect(text(`prose ${'and more of it '.repeat(1200)}`)).toBe('other');
    expect(text('GET http://bad.test/x\r\n')).toBe('http');
    expect(text('DESCRIBE rtsp://good.test/x RTSP/1.0\r\n')).toBe('other');
    expect(text('\r\n'.repeat(8192), true)).toBe('unreadable');
    expect(text(`GET /${'x'.repeat(17_000)}`)).toBe('unreadable');
    const started = performance.now();
    for (let size = 1; size < 16_384; size += 16) text(`a${' '.repeat(size)}`);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test('a ClientHello in any number of records has its name, and an incomplete one is awaited', () => {
    const hello = clientHello('good.test');
    const whole = record(hello);
    expect(readGreeting(whole, false)).toEqual({ kind: 'tls', serverName: 'good.test' });
    expect(readGreeting(Buffer.concat([record(hello.subarray(0, 9)), record(hello.subarray(9))]), false)).toEqual({
      kind: 'tls',
      serverName: 'good.test',
    });
    for (let size = 1; size < whole.length; size++) expect(readGreeting(whole.subarray(0, size), false).kind).toBe('more');
    expect(readGreeting(record(clientHello(undefined)), false)).toEqual({ kind: 'tls' });
    // A version that lenient servers accept.
    expect(readGreeting(Buffer.concat([Buffer.from([22, 9, 9]), whole.subarray(3)]), false)).toEqual({ kind: 'unreadable' });
    // Bytes after the ClientHello, empty records, and a length that is too large.
    expect(readGreeting(Buffer.concat([whole, Buffer.from('140303000101', 'hex')]), false)).toEqual({
      kind: 'tls',
      serverName: 'good.test',
    });
    expect(readGreeting(Buffer.concat([Buffer.from('1603010000', 'hex'), whole]), false)).toEqual({ kind: 'unreadable' });
    expect(readGreeting(record(Buffer.from('01ffffff', 'hex')), false)).toEqual({ kind: 'unreadable' });
    // A ClientHello of SSL 2.0, the length field of another protocol, and a ClientHello in one-byte records.
    const old = Buffer.from('802e0103010015', 'hex');
    for (let size = 1; size < 4; size++) expect(readGreeting(old.subarray(0, size), false)).toEqual({ kind: 'more' });
    expect(readGreeting(old, false)).toEqual({ kind: 'unreadable' });
    expect(readGreeting(Buffer.from('802e010002', 'hex'), false)).toEqual({ kind: 'unreadable' });
    expect(readGreeting(Buffer.from('9010010007', 'hex'), false)).toEqual({ kind: 'other' });
    expect(readGreeting(Buffer.concat([...hello].map((byte) => record(Buffer.of(byte)))), false)).toEqual({ kind: 'unreadable' });
  });
});

function record(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([22, 3, 1, body.length >> 8, body.length & 255]), body]);
}

function clientHello(name: string | undefined): Buffer {
  const sized = (bytes: Buffer, size: number) => {
    const head = Buffer.alloc(size);
    head.writeUIntBE(bytes.length, 0, size);
    return Buffer.concat([head, bytes]);
  };
  const entry = name === undefined ? undefined : Buffer.concat([Buffer.from([0]), sized(Buffer.from(name), 2)]);
  const extensions = entry === undefined ? Buffer.from([0, 23, 0, 0]) : Buffer.concat([Buffer.from([0, 0]), sized(sized(entry, 2), 2)]);
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    Buffer.from([0]),
    sized(Buffer.from([0x13, 1]), 2),
    Buffer.from([1, 0]),
    sized(extensions, 2),
  ]);
  return Buffer.concat([Buffer.from([1]), sized(body, 3)]);
}
