import { parseArgs } from 'node:util';
import { type FoundSandbox, findSandboxes } from '../monitor/discover';
import type { RouteFact } from '../netlink/decode';
import { inspectNetwork, type NetworkFacts } from '../network/inspect';
import { print, printable, printError, printJson } from './print';
import { size, table } from './table';

export const netUsage = `options of net:
  ID                             an ID of \`nsjs top\`, or the pid of its launcher, init or owner; without it all sandboxes
  --json                         as JSON`;

const known = { help: { type: 'boolean', short: 'h' }, json: { type: 'boolean' } } as const;

/** Prints interfaces, routes, rules and connections of sandboxes. Returns exit code 1 if there is no such sandbox. */
export function runNet(words: readonly string[]): number {
  const { values, positionals } = parseArgs({ args: [...words], options: known, allowPositionals: true });
  if (values.help) {
    print(netUsage);
    return 0;
  }
  const [wanted] = positionals;
  const found = findSandboxes().filter((sandbox) => wanted === undefined || isWanted(sandbox, wanted));
  if (found.length === 0) {
    printError(wanted === undefined ? 'nsjs: no sandbox found' : `nsjs: no sandbox '${wanted}'; see nsjs top`);
    return 1;
  }
  const all = found.map((sandbox) => ({ sandbox, facts: inspectNetwork(sandbox.init) }));
  if (values.json) printJson(all);
  else print(all.map(({ sandbox, facts }) => netText(sandbox, facts)).join('\n\n'));
  return 0;
}

const isWanted = ({ id, launcher, init, owner }: FoundSandbox, wanted: string): boolean =>
  id === wanted || [launcher, init, owner].some((pid) => `${pid}` === wanted);

const columns = {
  interfaces: ['INTERFACE', 'KIND', 'STATE', 'MTU', 'MAC', 'IN', 'OUT', 'ADDRESSES'],
  routes: ['ROUTE', 'BY', 'INTERFACE', 'SOURCE'],
  rules: ['TABLE', 'CHAIN', 'RULES'],
  connections: ['PROTOCOL', 'STATE', 'LOCAL', 'REMOTE', 'UID'],
} as const;

/** Formats the network of one sandbox as text. Pure. */
export function netText({ id, owner, command }: FoundSandbox, { interfaces, routes, rules, connections }: NetworkFacts): string {
  const names = new Map(interfaces.map(({ index, name }) => [index, name]));
  const links = interfaces.map((link) => [
    link.name,
    link.kind ?? '-',
    link.up ? 'up' : 'down',
    `${link.mtu}`,
    link.mac ?? '-',
    size(link.received.bytes),
    size(link.sent.bytes),
    link.addresses.join(' '),
  ]);
  const parts = [
    printable(`${id} of ${owner}${command === '' ? '' : `: ${command}`}`),
    section(columns.interfaces, links, ['MTU', 'IN', 'OUT']),
    section(
      columns.routes,
      routes.map((route) => routeRow(route, names)),
    ),
    section(
      columns.rules,
      Object.entries(rules).map(([key, count]) => [...key.split(' '), `${count}`]),
      ['RULES'],
    ),
    section(
      columns.connections,
      connections.map(({ protocol, state, local, remote, uid }) => [protocol, state, local, remote, `${uid}`]),
      ['UID'],
    ),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

const section = (head: readonly string[], rows: readonly (readonly string[])[], right: readonly string[] = []): string =>
  rows.length === 0 ? '' : `\n${table(head, rows, right)}`;

function routeRow({ destination, gateway, output, source, type }: RouteFact, names: ReadonlyMap<number, string>): readonly string[] {
  const to = destination.prefix === 0 ? 'default' : `${destination.address}/${destination.prefix}`;
  const shown = type === 'unicast' ? to : `${type} ${to}`;
  return [shown, gateway ?? '-', output === undefined ? '-' : (names.get(output) ?? `${output}`), source ?? '-'];
}
