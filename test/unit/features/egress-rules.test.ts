import {
  isDenied,
  isSpecialAddress,
  listed,
  matches,
  normalName,
  parseEndpoint,
  parseRule,
  parseRules,
  sentName,
} from '../../../dist/features/egress-rules';
import { thrown } from '../../support/host';

const rule = (text: string) => parseRule(text, 'allow[0]');
const allPorts = [1, 65_535];

describe('a rule', () => {
  test.each([
    ['[2001:db8::1]', { cidr: { address: '2001:db8::1', prefix: 128 }, ports: allPorts }],
    ['[2001:db8::1]:443', { cidr: { address: '2001:db8::1', prefix: 128 }, ports: [443, 443] }],
    ['[2001:db8::]/32', { cidr: { address: '2001:db8::', prefix: 32 }, ports: allPorts }],
    ['2001:DB8:0::1', { cidr: { address: '2001:db8::1', prefix: 128 }, ports: allPorts }],
    ['::ffff:10.0.0.0/104', { cidr: { address: '10.0.0.0', prefix: 8 }, ports: allPorts }],
    [' good.test:1-65535 ', { name: 'good.test', ports: allPorts }],
    ['*.Good.Test.', { suffix: '.good.test', ports: allPorts }],
    ['_srv.good.test', { name: '_srv.good.test', ports: allPorts }],
  ])('%j is read', (text, expected) => {
    expect(rule(text)).toEqual(expected);
  });

  test.each([
    ['good.test:', "expected a port or a range of ports, received ''"],
    ['good.test:x', "expected a port or a range of ports, received 'x'"],
    ['good.test:65536', "expected a port or a range of ports, received '65536'"],
    ['[::1]:90-80', "expected a port or a range of ports, received '90-80'"],
    ['a*b.test', "expected 'name:port', '*.name', '10.0.0.0/8:443', '[2001:db8::]/32:443' or '*', received 'a*b.test'"],
    ['*.', "received '*.'"],
    ['10.0.0.0/33', "expected an address with a prefix like '10.0.0.0/24', received '10.0.0.0/33'"],
    ['fe80::1%eth0', "received 'fe80::1%eth0'"],
  ])('%j is refused', (text, message) => {
    const error = thrown(() => rule(text));
    expect(error).toMatchObject({ name: 'OptionError', path: 'allow[0]' });
    expect(error.message).toContain(message);
  });

  test('must be a string', () => {
    expect(thrown(() => parseRule(443, 'allow[0]'))).toMatchObject({ path: 'allow[0]', code: 'ERR_INVALID_ARG_TYPE' });
  });
});

describe('a list of rules', () => {
  test('is read in its order; without a value it is empty', () => {
    expect(parseRules(['a.test', '*'], 'deny')).toEqual([{ name: 'a.test', ports: allPorts }, { ports: allPorts }]);
    expect(parseRules(undefined, 'deny')).toEqual([]);
  });

  test('is refused at the index of a malformed rule, or if it is not a list', () => {
    expect(thrown(() => parseRules(['a.test', 'a b'], 'deny'))).toMatchObject({ path: 'deny[1]' });
    expect(thrown(() => parseRules('a.test', 'deny'))).toMatchObject({ path: 'deny', code: 'ERR_INVALID_ARG_TYPE' });
  });
});

describe('an endpoint', () => {
  test.each([
    ['DB.local:5432', { host: 'db.local', port: 5432 }],
    ['10.0.0.1:80', { host: '10.0.0.1', port: 80 }],
    ['[2001:db8:0::1]:80', { host: '2001:db8::1', port: 80 }],
    ['[::ffff:10.0.0.1]:80', { host: '10.0.0.1', port: 80 }],
  ])('%s is read', (text, expected) => {
    expect(parseEndpoint(text, 'e')).toEqual(expected);
  });

  test.each(['db.local', '::1', 'db.local:1-2', '*:80', '*.local:80', '10.0.0.0/8:80', ':80'])('%s is refused', (text) => {
    expect(thrown(() => parseEndpoint(text, 'e'))).toMatchObject({
      path: 'e',
      message: expect.stringContaining(`expected 'name:port', received '${text}'`),
    });
  });
});

describe('a rule matches', () => {
  test.each([
    ['good.test', { name: 'good.test' }, true],
    ['good.test', { name: 'a.good.test' }, false],
    ['good.test', { address: '1.1.1.1' }, false],
    ['*.good.test', { name: 'a.good.test' }, true],
    ['*.good.test', { address: '1.1.1.1' }, false],
    ['10.0.0.0/8', { address: '10.255.0.1' }, true],
    ['10.0.0.0/8', { address: '11.0.0.1' }, false],
    ['10.0.0.0/8', { name: 'good.test' }, false],
    ['*', { name: 'good.test' }, true],
    ['*', {}, true],
    ['good.test:80-90', { name: 'good.test', port: 79 }, false],
    ['good.test:80-90', { name: 'good.test', port: 80 }, true],
    ['good.test:80-90', { name: 'good.test', port: 90 }, true],
    ['good.test:80-90', { name: 'good.test', port: 91 }, false],
    ['good.test:80-90', { name: 'good.test' }, true],
    ['*:443', { address: '1.1.1.1', port: 80 }, false],
  ])('%s, %j: %s', (text, target, expected) => {
    expect(matches(rule(text), target)).toBe(expected);
  });
});

describe('the list that matches a target', () => {
  test('is the one with deny if both match', () => {
    const lists = { allow: [rule('good.test')], deny: [rule('*.good.test'), rule('good.test:22')] };
    expect(listed(lists, { name: 'good.test', port: 443 })).toBe('allow');
    expect(listed(lists, { name: 'good.test', port: 22 })).toBe('deny');
    expect(listed(lists, { name: 'a.good.test', port: 443 })).toBe('deny');
    expect(listed(lists, { name: 'elsewhere.example', port: 443 })).toBeUndefined();
  });

  test('is none for a special address that only * covers', () => {
    const lists = { allow: [rule('*')], deny: [] };
    expect(listed(lists, { address: '1.1.1.1' })).toBe('allow');
    expect(listed(lists, { address: '169.254.169.254' })).toBeUndefined();
    expect(listed({ allow: [rule('169.254.169.254')], deny: [] }, { address: '169.254.169.254' })).toBe('allow');
    // The name is allowed regardless of its address.
    expect(listed(lists, { name: 'good.test', address: '10.0.0.1' })).toBe('allow');
  });
});

describe('a target is denied', () => {
  const deny = [rule('10.0.0.0/8'), rule('0.0.0.5'), rule('bad.test')];

  test.each([
    [{ name: 'bad.test' }, true],
    [{ name: 'good.test' }, false],
    [{ address: '10.1.2.3' }, true],
    [{ address: '64:ff9b::a01:203' }, true],
    [{ address: '64:ff9b::5' }, true],
    [{ address: '64:ff9b::6' }, false],
    [{ address: '64:ff9b::b01:203' }, false],
    [{ address: '2001:db8::a01:203' }, false],
  ])('%j: %s', (target, expected) => {
    expect(isDenied(deny, target)).toBe(expected);
  });
});

describe('special addresses', () => {
  test.each([
    ['64:ff9b::', true],
    ['64:ff9b::1', true],
    ['64:ff9b:1::808:808', true],
    ['64:ff9b::808:808', false],
    ['fe80::1%eth0', true],
    ['2001:4860:4860::8888', false],
    ['2001:1ff:ffff::1', true],
    ['2001:200::1', false],
    ['172.15.255.255', false],
    ['100.127.255.255', true],
    ['100.128.0.0', false],
  ])('%s: %s', (address, expected) => {
    expect(isSpecialAddress(address)).toBe(expected);
  });
});

describe('host names', () => {
  const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.`;

  test.each([
    ['Bücher.TEST', 'xn--bcher-kva.test'],
    ['a--b.test', 'a--b.test'],
    ['1.a', '1.a'],
    [`${'a'.repeat(63)}.test`, `${'a'.repeat(63)}.test`],
    [`${long}${'d'.repeat(61)}`, `${long}${'d'.repeat(61)}`],
    [`${long}${'d'.repeat(61)}.`, `${long}${'d'.repeat(61)}`],
  ])('%s is %s', (text, expected) => {
    expect(normalName(text)).toBe(expected);
  });

  test.each(['.', 'a-.test', 'a.test..', 'a.0x1f', 'a.0x', 'a b', 'a:b', 'u@a.test', `${long}${'d'.repeat(62)}`])(
    '%j is not a host name',
    (text) => {
      expect(normalName(text)).toBeUndefined();
    },
  );
});

describe('a name is not mistaken for another one', () => {
  test.each(['good.test/24', 'good.test/x', 'good.test?x', 'good.test#x', 'good.test\\x', '%67ood.test', 'go\tod.test', 'good test'])(
    '%j is not a name',
    (text) => {
      expect(normalName(text)).toBeUndefined();
      expect(thrown(() => parseRule(text, 'allow[0]'))).toMatchObject({ path: 'allow[0]' });
      expect(thrown(() => parseEndpoint(`${text}:80`, 'redirect'))).toMatchObject({ path: 'redirect' });
    },
  );

  test('international names are converted in rules, but not if a program sends them', () => {
    expect(normalName('bücher.test')).toBe('xn--bcher-kva.test');
    expect([sentName('bücher.test'), sentName('XN--bcher-kva.test.')]).toEqual([undefined, 'xn--bcher-kva.test']);
  });

  test.each(['[good.test]:80', '[*]:80', '[1.2.3.4]:80'])('%s is refused: brackets are for IPv6 addresses', (text) => {
    expect(thrown(() => parseRule(text, 'allow[0]')).message).toMatch(/brackets are only for IPv6 addresses/);
  });

  test('a network of IPv4-mapped addresses covers no more than its prefix', () => {
    expect(parseRule('::ffff:1.2.3.0/120', 'allow[0]')).toMatchObject({ cidr: { address: '1.2.3.0', prefix: 24 } });
    expect(thrown(() => parseRule('::ffff:1.2.3.4/64', 'allow[0]')).message).toMatch(/at least 96/);
  });
});
