import { isIP } from 'node:net';
import fc from 'fast-check';
import {
  canonicalIp,
  cidrContains,
  cidrsOverlap,
  ipBytes,
  ipText,
  maskBytes,
  networkBytes,
  parseCidr,
  parseIp,
} from '../../../dist/base/ip';
import { thrown } from '../../support/host';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const cidr = (text: string) => parseCidr(text, 'at');

describe('bytes and text of an address', () => {
  test.each([
    ['10.0.0.255', '0a0000ff'],
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['fe80::', 'fe800000000000000000000000000000'],
    ['2001:DB8::8:0', '20010db8000000000000000000080000'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::ffff:1.2.3.4', '00000000000000000000ffff01020304'],
  ])('%s is %s', (address, bytes) => {
    expect(hex(ipBytes(address))).toBe(bytes);
  });

  test.each([
    ['01020304', '1.2.3.4'],
    ['20010db8000000000000000000000001', '2001:db8::1'],
    ['00010000000000020000000000000003', '1:0:0:2::3'],
    ['00000000000000000000000000000000', '::'],
  ])('%s is written as %s', (bytes, text) => {
    expect(ipText(Buffer.from(bytes, 'hex'))).toBe(text);
  });

  test('every address stays the same when it is written and read', () => {
    const bytes = fc
      .constantFrom(4, 16)
      .chain((length) => fc.array(fc.constantFrom(0, 0, 1, 10, 255), { minLength: length, maxLength: length }));
    fc.assert(
      fc.property(bytes, (address) => {
        const text = ipText(Uint8Array.from(address));
        expect(isIP(text)).toBe(address.length === 4 ? 4 : 6);
        expect([...ipBytes(text)]).toEqual(address);
      }),
    );
  });
});

test.each([
  ['::ffff:1.2.3.4', '1.2.3.4'],
  ['::FFFF:102:304', '1.2.3.4'],
  ['fe80::1%eth0', 'fe80::1'],
  ['::ffff:1.2.3.4%eth0', '1.2.3.4'],
  ['0:0:0:0:0:0:0:1', '::1'],
  ['::1.2.3.4', '::102:304'],
  ['1::ffff:1.2.3.4', '1::ffff:102:304'],
  ['10.0.0.1', '10.0.0.1'],
])('the canonical form of %s is %s', (address, canonical) => {
  expect(canonicalIp(address)).toBe(canonical);
});

describe('networks', () => {
  test.each([
    ['10.1.2.3/24', '0a010200'],
    ['10.1.2.3/12', '0a000000'],
    ['10.1.2.3/32', '0a010203'],
    ['10.1.2.3/0', '00000000'],
    ['2001:db8:ffff::1/33', '20010db8800000000000000000000000'],
  ])('the network of %s is %s', (text, bytes) => {
    expect(hex(networkBytes(cidr(text)))).toBe(bytes);
  });

  test.each([
    [0, 4, '00000000'],
    [9, 4, 'ff800000'],
    [32, 4, 'ffffffff'],
    [65, 16, 'ffffffffffffffff8000000000000000'],
  ])('the mask of /%i in %i bytes is %s', (prefix, length, mask) => {
    expect(hex(maskBytes(prefix, length))).toBe(mask);
  });

  test.each([
    ['10.0.0.5/24', '10.0.0.255', true],
    ['10.0.0.5/24', '10.0.1.0', false],
    ['10.0.0.128/25', '10.0.0.127', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['0.0.0.0/0', '::', false],
    ['::/0', '0.0.0.0', false],
    ['fe80::/10', 'febf::1', true],
    ['fe80::/10', 'fec0::1', false],
  ])('%s contains %s: %p', (network, address, isInside) => {
    expect(cidrContains(cidr(network), address)).toBe(isInside);
  });

  test.each([
    ['10.0.0.0/8', '10.1.0.0/16', true],
    ['10.0.0.0/16', '10.1.0.0/16', false],
    ['10.0.0.7', '10.0.0.7', true],
    ['0.0.0.0/0', '::/0', false],
    ['fd00::/8', 'fd12::/16', true],
  ])('%s and %s overlap: %p', (one, other, isOverlap) => {
    expect([cidrsOverlap(cidr(one), cidr(other)), cidrsOverlap(cidr(other), cidr(one))]).toEqual([isOverlap, isOverlap]);
  });
});

describe('options with an address', () => {
  test.each([
    ['10.0.0.5/24', '10.0.0.5', 24],
    ['10.0.0.5', '10.0.0.5', 32],
    ['FE80::0:1/64', 'fe80::1', 64],
    ['::1', '::1', 128],
    ['0.0.0.0/0', '0.0.0.0', 0],
  ])('the network %s is read', (text, address, prefix) => {
    expect(parseCidr(text, 'at')).toEqual({ address, prefix });
  });

  test.each(['', 'x', '10.0.0/8', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8/8', '10.0.0.0/8.0', 'fe80::1%eth0/64'])(
    'the network %p is refused',
    (text) => {
      expect(thrown(() => parseCidr(text, 'egress.deny[0]'))).toMatchObject({
        path: 'egress.deny[0]',
        code: 'ERR_INVALID_ARG_VALUE',
        message: `egress.deny[0]: expected an address with a prefix like '10.0.0.0/24', received '${text}'`,
      });
    },
  );

  test('an address is written in its shortest form', () => {
    expect([parseIp('10.0.0.1', 'at'), parseIp('2001:DB8:0:0::1', 'at')]).toEqual(['10.0.0.1', '2001:db8::1']);
  });

  test.each(['', 'localhost', '10.0.0.1/8', '10.0.0.256', 'fe80::1%eth0', '[::1]'])('the address %p is refused', (text) => {
    expect(thrown(() => parseIp(text, 'dns'))).toMatchObject({ path: 'dns', message: `dns: expected an IP address, received '${text}'` });
  });

  test('a value of another type is refused', () => {
    for (const parse of [parseCidr, parseIp]) expect(thrown(() => parse(1, 'at'))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
  });
});
