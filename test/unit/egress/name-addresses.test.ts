import { isNameAddress, NameBook, namesCidr, resolverAddress } from '../../../dist/egress/name-addresses';

describe('the network of the addresses that represent names', () => {
  test('it is 198.18.0.0/15, and the resolver is its first host', () => {
    expect(namesCidr).toEqual({ address: '198.18.0.0', prefix: 15 });
    expect(resolverAddress).toBe('198.18.0.1');
  });

  test.each([
    ['198.18.0.0', true],
    ['198.19.255.255', true],
    ['198.17.255.255', false],
    ['198.20.0.0', false],
    ['198.180.0.1', false],
    ['::ffff', false],
  ])('%s belongs to it: %s', (address, expected) => {
    expect(isNameAddress(address)).toBe(expected);
  });
});

describe('the addresses of names', () => {
  test('are assigned in order, after those that are reserved', () => {
    const book = new NameBook();
    expect(['a.test', 'b.test', 'a.test'].map((name) => book.addressOf(name))).toEqual(['198.18.0.16', '198.18.0.17', '198.18.0.16']);
  });

  test('map back to the name; other addresses have no name', () => {
    const book = new NameBook();
    book.addressOf('a.test');
    expect(book.nameOf('198.18.0.16')).toBe('a.test');
    expect(book.nameOf('198.18.0.17')).toBeUndefined();
    expect(book.nameOf(resolverAddress)).toBeUndefined();
  });

  test('two books do not share names', () => {
    const [one, other] = [new NameBook(), new NameBook()];
    one.addressOf('a.test');
    expect(other.addressOf('b.test')).toBe('198.18.0.16');
    expect(one.nameOf('198.18.0.16')).toBe('a.test');
  });

  test('run out after 16,384 names, but known names keep theirs', () => {
    const book = new NameBook();
    const addresses = Array.from({ length: 16_384 }, (_, index) => book.addressOf(`n${index}.test`));
    expect(new Set(addresses).size).toBe(16_384);
    expect(addresses.every((address) => address !== undefined && isNameAddress(address))).toBe(true);
    expect(book.addressOf('late.test')).toBeUndefined();
    expect(book.addressOf('n0.test')).toBe('198.18.0.16');
    expect(book.nameOf(addresses.at(-1) ?? '')).toBe('n16383.test');
  });
});
