import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as nft from '../../../dist/netlink/expressions';
import * as link from '../../../dist/netlink/link';
import { be16, decodeMessages, encodeMessage, listAttributes, type NetlinkMessage, u8, u32 } from '../../../dist/netlink/message';
import * as tables from '../../../dist/netlink/nftables';
import * as qdisc from '../../../dist/netlink/qdisc';
import * as route from '../../../dist/netlink/route';

// Messages that ip(8), tc(8) and nft(8) of Debian 12 send for a command. Interfaces there: lo 1, v1 2, v0 3, br0 4.
const captured = JSON.parse(readFileSync(join(__dirname, '../../../test/data/netlink.json'), 'utf8')) as Record<
  string,
  { command: string; bytes: string }
>;
const v0 = 3;
const cidr = (text: string) => ({ address: text.split('/')[0] ?? '', prefix: Number(text.split('/')[1]) });

/**
 * Messages without sequence numbers, which differ, and without the user data that nft adds to a set for its listings.
 */
function comparable(bytes: Buffer): readonly string[] {
  return decodeMessages(bytes).map(({ type, flags, payload }) => {
    const isSet = type === ((10 << 8) | 9);
    const userData = isSet ? listAttributes(payload.subarray(4)).find(([number]) => number === 13)?.[1] : undefined;
    const cut = userData === undefined ? payload : withoutLast(payload, userData.length + 4);
    return `${type} ${flags} ${cut.toString('hex')}`;
  });
}
const withoutLast = (payload: Buffer, size: number) => payload.subarray(0, payload.length - ((size + 3) & ~3));

const single: Readonly<Record<string, NetlinkMessage>> = {
  'link-up': link.setLinkUp(1),
  'link-down': link.setLinkUp(1, false),
  veth: link.createVeth({ name: 'v0' }, { name: 'v1' }),
  'veth-mtu-mac': link.createVeth({ name: 'v0', mtu: 1400, mac: '02:00:00:00:00:01' }, { name: 'v1', mtu: 1400 }),
  'veth-mtu-mac-peer': link.createVeth(
    { name: 'v0', mtu: 1400, mac: '02:00:00:00:00:01' },
    { name: 'v1', mtu: 1400, mac: '02:00:00:00:00:02' },
  ),
  'veth-netns-name': link.createVeth({ name: 'v0' }, { name: 'eth0', netNsFd: 4 }),
  bridge: link.createLink('bridge', { name: 'br0' }),
  ifb: link.createLink('ifb', { name: 'ifb0' }),
  master: link.setMaster(v0, 4),
  nomaster: link.setMaster(v0, 0),
  isolated: link.setIsolated(v0, true),
  'mac-set': link.changeLink(v0, { mac: '02:00:00:00:00:05' }),
  'mtu-set': link.changeLink(v0, { mtu: 1400 }),
  rename: link.changeLink(v0, { name: 'eth7' }),
  'netns-set-name': link.changeLink(v0, { netNsFd: 4 }),
  macvlan: link.createMacvlan(v0, 'bridge', { name: 'm0' }),
  'link-del': link.deleteLink(v0),
  addr4: route.addAddress(v0, cidr('10.77.0.5/24')),
  addr6: route.addAddress(v0, cidr('fd00:77::5/64')),
  'addr-del': route.deleteAddress(v0, cidr('10.77.0.5/24')),
  'route-default': route.addRoute({ gateway: '10.77.0.1' }),
  'route-default6': route.addRoute({ gateway: 'fd00:77::1' }),
  'route-default-dev': route.addRoute({ gateway: '10.77.0.1', output: v0 }),
  'route-default6-dev': route.addRoute({ gateway: 'fd00:77::1', output: v0 }),
  'route-replace': route.replaceRoute({ gateway: '10.77.0.1' }),
  'route-dev': route.addRoute({ destination: cidr('10.9.0.0/16'), output: v0 }),
  'route6-dev': route.addRoute({ destination: cidr('fd00:9::/48'), output: v0 }),
  'route-src': route.addRoute({ gateway: '10.77.0.1', output: v0, source: '10.77.0.5', mtu: 1400 }),
  'route-table': route.addRoute({ gateway: '10.77.0.1', output: v0, table: 100 }),
  'route-table-big': route.addRoute({ gateway: '10.77.0.1', output: v0, table: 1000 }),
  'route-metric': route.addRoute({ gateway: '10.77.0.1', output: v0, metric: 100 }),
  anyip: route.addRoute({ type: 'local', destination: cidr('0.0.0.0/0'), output: 1, source: '127.0.0.1' }),
  anyip6: route.addRoute({ type: 'local', destination: cidr('::/0'), output: 1 }),
  unreachable: route.addRoute({ type: 'unreachable', destination: cidr('10.0.0.0/8') }),
  unreachable6: route.addRoute({ type: 'unreachable', destination: cidr('fd00::/8') }),
  'route-del': route.deleteRoute({ destination: cidr('10.9.0.0/16'), output: v0 }),
  rule: route.addRule({ family: 'inet', destination: cidr('10.0.0.0/8'), protocol: 6, ports: [443, 443], action: 100 }),
  'rule-range': route.addRule({ family: 'inet', destination: cidr('10.0.0.0/8'), protocol: 6, ports: [1000, 2000], action: 100 }),
  'rule-unreachable': route.addRule({ family: 'inet', priority: 30_000, action: 'unreachable' }),
  rule6: route.addRule({ family: 'inet6', destination: cidr('fd00::/8'), protocol: 17, ports: [53, 53], action: 100, priority: 40 }),
  'rule-del': route.deleteRule({ family: 'inet', destination: cidr('10.0.0.0/8'), protocol: 6, ports: [443, 443], action: 100 }),
  neigh: route.addNeighbour(v0, '10.77.0.9', link.macBytes('02:00:00:00:00:09')),
  neigh6: route.addNeighbour(v0, 'fd00:77::9', link.macBytes('02:00:00:00:00:09')),
  'qdisc-del': qdisc.deleteRootQdisc(1),
};

test.each(Object.entries(single))('%s has the bytes of ip(8) and tc(8)', (name, message) => {
  const { bytes = '' } = captured[name] ?? {};
  expect(comparable(encodeMessage(message, 1))).toEqual(comparable(Buffer.from(bytes, 'hex')));
});

const inet = { family: 'inet', table: 't' } as const;
const ip = { family: 'ip', table: 't' } as const;
const isFour = [nft.meta('nfproto'), nft.cmp('eq', u8(2))];
const isSix = [nft.meta('nfproto'), nft.cmp('eq', u8(10))];
const isTcp = [nft.meta('l4proto'), nft.cmp('eq', u8(6))];
const isUdp = [nft.meta('l4proto'), nft.cmp('eq', u8(17))];
const port = (number: number) => [nft.payload('transport', 2, 2), nft.cmp('eq', be16(number))];
const fromLo = [nft.meta('iif'), nft.cmp('eq', u32(1))];
const pre = tables.newChain(inet, 'pre', { type: 'filter', hook: 'prerouting', priority: -150 });
const input = tables.newChain(inet, 'c', { type: 'filter', hook: 'input', priority: 0 });
const dropping = tables.newChain(inet, 'c', { type: 'filter', hook: 'input', priority: 0, policy: 'drop' });
const inputRule = (...expressions: readonly nft.Expression[]) => [tables.newTable(inet), input, tables.newRule(inet, 'c', expressions)];
const plainSet = { set: 's', id: 1, types: ['ipv4_addr'] } as const;

const batches: Readonly<Record<string, readonly NetlinkMessage[]>> = {
  'nft-table': [tables.newTable(inet)],
  'nft-chain': [tables.newTable(inet), dropping],
  'nft-chain-regular': [
    tables.newTable(inet),
    tables.newChain(inet, 'r'),
    input,
    tables.newRule(inet, 'r', [nft.verdict('accept')]),
    tables.newRule(inet, 'c', [nft.verdict('jump', 'r')]),
  ],
  'nft-tproxy': [
    tables.newTable(inet),
    pre,
    tables.newRule(inet, 'pre', [
      ...fromLo,
      ...isFour,
      nft.payload('network', 16, 1),
      nft.cmp('neq', u8(127)),
      ...isTcp,
      nft.immediate(1, Buffer.from([127, 0, 0, 1])),
      nft.immediate(2, be16(15_001)),
      nft.tproxy('inet', 1, 2),
      nft.verdict('accept'),
    ]),
  ],
  'nft-tproxy6': [
    tables.newTable(inet),
    pre,
    tables.newRule(inet, 'pre', [
      ...fromLo,
      ...isSix,
      nft.payload('network', 24, 16),
      nft.cmp('neq', Buffer.from('00000000000000000000000000000001', 'hex')),
      ...isTcp,
      nft.immediate(1, Buffer.from('00000000000000000000000000000001', 'hex')),
      nft.immediate(2, be16(15_001)),
      nft.tproxy('inet6', 1, 2),
      nft.verdict('accept'),
    ]),
  ],
  'nft-redirect': [
    tables.newTable(inet),
    tables.newChain(inet, 'out', { type: 'nat', hook: 'output', priority: -100 }),
    tables.newRule(inet, 'out', [...isUdp, ...port(53), nft.immediate(1, be16(5353)), nft.redirect(1)]),
  ],
  'nft-masq': [
    tables.newTable(ip),
    tables.newChain(ip, 'post', { type: 'nat', hook: 'postrouting', priority: 100 }),
    tables.newRule(ip, 'post', [
      nft.payload('network', 12, 3),
      nft.cmp('eq', Buffer.from([10, 77, 0])),
      nft.meta('oifname'),
      nft.cmp('neq', Buffer.from('br0'.padEnd(16, '\0'))),
      nft.masquerade(),
    ]),
  ],
  'nft-dnat': [
    tables.newTable(ip),
    tables.newChain(ip, 'pre', { type: 'nat', hook: 'prerouting', priority: -100 }),
    tables.newRule(ip, 'pre', [
      ...isTcp,
      ...port(8080),
      nft.immediate(1, Buffer.from([10, 77, 0, 5])),
      nft.immediate(2, be16(80)),
      nft.nat('dnat', 'inet', 1, 2),
    ]),
  ],
  'nft-set': [
    tables.newTable(inet),
    dropping,
    tables.newSet(inet, { ...plainSet, interval: true }),
    tables.addElements(inet, plainSet, [
      { first: Buffer.from([10, 0, 0, 0]), end: Buffer.from([11, 0, 0, 0]) },
      { first: Buffer.from([192, 168, 1, 1]), end: Buffer.from([192, 168, 1, 2]) },
    ]),
    tables.newRule(inet, 'c', [...isFour, nft.payload('network', 16, 4), nft.lookup('s', { id: 1 }), nft.verdict('accept')]),
  ],
  'nft-set-plain': [
    tables.newTable(inet),
    input,
    tables.newSet(inet, plainSet),
    tables.addElements(inet, plainSet, [Buffer.from([10, 0, 0, 1]), Buffer.from([192, 168, 1, 1])]),
    tables.newRule(inet, 'c', [...isFour, nft.payload('network', 16, 4), nft.lookup('s', { id: 1 }), nft.verdict('accept')]),
  ],
  'nft-concat': [
    tables.newTable(inet),
    input,
    tables.newSet(inet, { set: 's', id: 1, types: ['ipv4_addr', 'inet_service'] }),
    tables.addElements(inet, { set: 's', id: 1 }, [Buffer.from([10, 0, 0, 1, 1, 187, 0, 0])]),
    tables.newRule(inet, 'c', [
      ...isFour,
      ...isTcp,
      nft.payload('network', 16, 4),
      nft.payload('transport', 2, 2, 9 as nft.Register),
      nft.lookup('s', { id: 1 }),
      nft.verdict('accept'),
    ]),
  ],
  'nft-ct': inputRule(nft.ct('state'), nft.bitwise(u32(6), u32(0)), nft.cmp('neq', u32(0)), nft.verdict('accept')),
  'nft-reject-rst': inputRule(...isTcp, nft.reject('tcp-reset')),
  'nft-reject-icmpx': inputRule(nft.reject('admin-prohibited')),
  'nft-limit': inputRule(nft.limit(10, 'second'), nft.verdict('accept')),
  'nft-quota': inputRule(nft.quota(2 ** 20, true), nft.verdict('drop')),
  'nft-counter': inputRule(nft.counter(), nft.verdict('accept')),
  'nft-log': inputRule(nft.log(7, 'x')),
  'nft-drop': inputRule(nft.verdict('drop')),
  'nft-delete-table': [tables.deleteTable(inet)],
};

test.each(Object.entries(batches))('%s has the bytes of nft(8)', (name, changes) => {
  const { bytes = '' } = captured[name] ?? {};
  // nft requests no acknowledgement and an echo of all messages; here the last one is acknowledged.
  const flagless = (all: readonly string[]) => all.map((line) => line.replace(/^(\d+) \d+ /, '$1 '));
  expect(flagless(comparable(tables.encodeBatch(changes, 0)))).toEqual(flagless(comparable(Buffer.from(bytes, 'hex'))));
});

test.each(['tbf', 'tbf-big', 'tbf-limit'])('%s has the bytes of tc(8), except for its rate table', (name) => {
  const rates = { tbf: 10_000_000, 'tbf-big': 5_000_000_000, 'tbf-limit': 10_000_000 } as const;
  const theirs = optionsOf(Buffer.from(captured[name]?.bytes ?? '', 'hex'));
  const limit = theirs.get(1)?.readUInt32LE(24) ?? 0;
  const ours = optionsOf(encodeMessage(qdisc.addTokenBucket(1, { rate: rates[name as keyof typeof rates], burst: 65_536, limit }), 1));
  expect(ours.get(4)).toEqual(theirs.get(4));
  expect(ours.get(6)).toEqual(theirs.get(6));
  const [own = Buffer.alloc(0), other = Buffer.alloc(0)] = [ours.get(1), theirs.get(1)];
  // cell_log and cell_align describe the rate table.
  expect(own.subarray(8, 28)).toEqual(other.subarray(8, 28));
  expect(Math.abs(own.readUInt32LE(28) - other.readUInt32LE(28))).toBeLessThanOrEqual(1);
});

function optionsOf(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const [message] = decodeMessages(bytes);
  const options = listAttributes((message?.payload ?? Buffer.alloc(0)).subarray(20)).find(([type]) => type === 2)?.[1];
  return new Map(listAttributes(options ?? Buffer.alloc(0)));
}

test('every command that this file names has been captured', () => {
  const known = [...Object.keys(single), ...Object.keys(batches)];
  expect(known.filter((name) => captured[name] === undefined)).toEqual([]);
});
