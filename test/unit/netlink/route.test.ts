// Requests about addresses, routes and routing rules that no captured command contains.
import { decodeAddress, decodeRoute } from '../../../dist/netlink/decode';
import { decodeAttributes, u32 } from '../../../dist/netlink/message';
import * as route from '../../../dist/netlink/route';

const headSize = 12;

describe('dumps', () => {
  test('request all addresses', () => {
    expect(route.dumpAddresses()).toEqual({ type: 22, flags: 0x301, payload: Buffer.alloc(8) });
  });

  test.each([
    ['inet', 2],
    ['inet6', 10],
  ] as const)('request the routes of %s', (family, number) => {
    const { type, flags, payload } = route.dumpRoutes(family);
    expect({ type, flags, payload: [...payload] }).toEqual({ type: 26, flags: 0x301, payload: [number, ...Array<number>(11).fill(0)] });
  });
});

describe('a route is decoded as it was added', () => {
  test.each<[string, route.Route, object]>([
    ['only an interface', { output: 7 }, { family: 'inet', destination: { address: '0.0.0.0', prefix: 0 }, output: 7, table: 254 }],
    [
      'the default route of IPv6',
      { gateway: 'fd00::1' },
      { family: 'inet6', destination: { address: '::', prefix: 0 }, gateway: 'fd00::1' },
    ],
    [
      'a destination with bits after its prefix',
      { destination: { address: '10.1.2.3', prefix: 8 }, output: 7 },
      { destination: { address: '10.0.0.0', prefix: 8 }, type: 'unicast' },
    ],
    ['a large table', { output: 7, table: 256, metric: 0 }, { table: 256, metric: 0 }],
    ['the largest table that fits into the head', { output: 7, table: 255 }, { table: 255 }],
    ['a refusal', { type: 'prohibit', destination: { address: '10.0.0.0', prefix: 8 } }, { type: 'prohibit', table: 254 }],
    ['a local route', { type: 'local', output: 1, source: '127.0.0.1' }, { type: 'local', table: 255, source: '127.0.0.1' }],
    ['a local route in another table', { type: 'local', output: 1, table: 100 }, { type: 'local', table: 100 }],
  ])('%s', (_, given, expected) => {
    expect(decodeRoute(route.addRoute(given))).toMatchObject(expected);
  });

  test('its table is an attribute only if it does not fit into the head', () => {
    const tableOf = (table: number) => decodeAttributes(route.addRoute({ output: 7, table }).payload.subarray(headSize)).get(15);
    expect(tableOf(255)).toBeUndefined();
    expect(tableOf(256)).toEqual(u32(256));
  });
});

test.each([
  ['10.0.0.5', 24, 0],
  ['fd00::5', 64, 2],
])('the address %s/%d is added, over IPv6 without duplicate address detection', (address, prefix, flags) => {
  const message = route.addAddress(7, { address, prefix });
  expect(decodeAddress(message)).toMatchObject({ index: 7, address, prefix, scope: 'global' });
  expect(message.payload[2]).toBe(flags);
  expect(route.deleteAddress(7, { address, prefix }).payload[2]).toBe(0);
});

describe('a routing rule', () => {
  /** Returns family, table and action of the header, and the attributes by their number. */
  function read({ payload }: { readonly payload: Buffer }) {
    return { head: [payload[0], payload[4], payload[7]], attributes: Object.fromEntries(decodeAttributes(payload.subarray(headSize))) };
  }

  test('looks up a table, whose number is an attribute if it is large', () => {
    expect(read(route.addRule({ family: 'inet', action: 255 }))).toEqual({ head: [2, 255, 1], attributes: {} });
    expect(read(route.addRule({ family: 'inet6', action: 256 }))).toEqual({ head: [10, 0, 1], attributes: { 15: u32(256) } });
  });

  test.each([
    ['unreachable', 7],
    ['prohibit', 8],
  ] as const)('refuses packets: %s', (action, number) => {
    expect(read(route.addRule({ family: 'inet', action, priority: 5 }))).toEqual({ head: [2, 0, number], attributes: { 6: u32(5) } });
  });

  test('is removed regardless of its action', () => {
    expect(read(route.deleteRule({ family: 'inet', action: 'prohibit' }))).toEqual({ head: [2, 0, 0], attributes: {} });
  });
});
