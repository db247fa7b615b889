import fc from 'fast-check';
import { type DnsQuery, decodeQuery, encodeAnswer, encodeFormatError, recordTypes, responseCodes } from '../../../dist/egress/dns-message';

const name = (...labels: readonly string[]) =>
  Buffer.concat([...labels.map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, 'latin1')])), Buffer.of(0)]);

interface Parts {
  readonly flags?: string;
  readonly questions?: number;
  readonly asked?: Buffer;
  readonly end?: string;
}

/** A query with the id 0x1234. `end` is the type and the class. */
const query = ({ flags = '0100', questions = 1, asked = name('good', 'test'), end = '00010001' }: Parts = {}) =>
  Buffer.concat([Buffer.from(`1234${flags}000${questions}000000000000`, 'hex'), asked, Buffer.from(end, 'hex')]);

describe('a query', () => {
  test.each<[string, Parts, Partial<DnsQuery>]>([
    ['for an address', {}, { id: 0x1234, name: 'good.test', type: recordTypes.a, recursion: true }],
    ['for an IPv6 address', { end: '001c0001' }, { name: 'good.test', type: recordTypes.aaaa }],
    ['without recursion', { flags: '0000' }, { recursion: false }],
    ['of one label', { asked: name('localhost') }, { name: 'localhost' }],
    ['for the root', { asked: name() }, { name: '' }],
    ['with an underscore and a dash', { asked: name('_srv', 'a-b') }, { name: '_srv.a-b' }],
    ['with a label of 63 bytes', { asked: name('a'.repeat(63)) }, { name: 'a'.repeat(63) }],
  ])('%s is read', (_, parts, expected) => {
    expect(decodeQuery(query(parts))).toMatchObject(expected);
  });

  test('keeps the case of its question, but not of its name', () => {
    const asked = name('GooD', 'TEST');
    expect(decodeQuery(query({ asked }))).toMatchObject({ name: 'good.test', question: Buffer.concat([asked, Buffer.of(0, 1, 0, 1)]) });
  });

  test('may have additional records, which are not read', () => {
    expect(decodeQuery(Buffer.concat([query(), Buffer.from('0000291000000000000000', 'hex')]))).toMatchObject({
      name: 'good.test',
      question: query().subarray(12),
    });
  });

  test.each<[string, Parts]>([
    ['a response', { flags: '8100' }],
    ['another operation', { flags: '2800' }],
    ['no question', { questions: 0 }],
    ['two questions', { questions: 2 }],
    ['another class', { end: '00010003' }],
    ['a compressed name', { asked: Buffer.from('c00c', 'hex') }],
    ['a label longer than 63 bytes', { asked: name('a'.repeat(64)) }],
    ['a name longer than 255 bytes', { asked: name(...Array<string>(5).fill('a'.repeat(60))) }],
    ['a label with a blank', { asked: name('a b', 'test') }],
  ])('with %s is not read', (_, parts) => {
    expect(decodeQuery(query(parts))).toBeUndefined();
  });

  test('of arbitrary bytes never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (tail) => {
        const found = decodeQuery(Buffer.concat([query().subarray(0, 12), tail]));
        expect(found === undefined || /^[\w.-]*$/.test(found.name)).toBe(true);
      }),
    );
  });
});

describe('a response', () => {
  const question = query().subarray(12);
  const asked: DnsQuery = { id: 0x1234, name: 'good.test', type: recordTypes.a, question, recursion: true };
  const bytes = (head: string, ...records: readonly string[]) =>
    `${head}${question.toString('hex')}${records.join('')}`.replaceAll(' ', '');
  const hex = (...args: Parameters<typeof encodeAnswer>) => encodeAnswer(...args).toString('hex');

  test('repeats the question and names it in each record', () => {
    const addresses = ['198.18.0.16', '198.18.0.17'];
    expect(hex(asked, { code: responseCodes.ok, addresses, ttl: 300 })).toBe(
      bytes('1234 8180 0001 0002 0000 0000', 'c00c 0001 0001 0000012c 0004 c6120010', 'c00c 0001 0001 0000012c 0004 c6120011'),
    );
  });

  test('has an IPv6 address of 16 bytes, and a lifetime of 30 seconds by default', () => {
    expect(hex({ ...asked, type: recordTypes.aaaa }, { code: responseCodes.ok, addresses: ['2001:db8::5'] })).toBe(
      bytes('1234 8180 0001 0001 0000 0000', 'c00c 001c 0001 0000001e 0010 20010db8000000000000000000000005'),
    );
  });

  test('has a code and no record if there is no address', () => {
    expect(hex(asked, { code: responseCodes.noName })).toBe(bytes('1234 8183 0001 0000 0000 0000'));
    expect(hex(asked, { code: responseCodes.ok })).toBe(bytes('1234 8180 0001 0000 0000 0000'));
  });

  test('has the flag for recursion only if the query has it', () => {
    expect(hex({ ...asked, recursion: false }, { code: responseCodes.refused })).toBe(bytes('1234 8085 0001 0000 0000 0000'));
  });
});

describe('the response to a malformed query', () => {
  test('has its id and the code of a format error', () => {
    expect(encodeFormatError(query({ questions: 2 }))?.toString('hex')).toBe('123480810000000000000000');
    expect(encodeFormatError(query().subarray(0, 12))?.toString('hex')).toBe('123480810000000000000000');
  });

  test('is undefined if the header is incomplete, or if the message is itself a response', () => {
    expect(encodeFormatError(query().subarray(0, 11))).toBeUndefined();
    expect(encodeFormatError(query({ flags: '8180' }))).toBeUndefined();
  });
});
