import { readFileSync } from 'node:fs';
import { debuglog } from 'node:util';
import { decodeLink } from '../netlink/decode';
import { deleteLink, dumpLinks } from '../netlink/link';
import { deleteTable, dumpTables, tableName } from '../netlink/nftables';
import { NetlinkSocket } from '../sys/netlink-socket';
import { tableOf } from './bridge-rules';

const debug = debuglog('nsjs');
const bridgeName = /^nsjs-[0-9a-f]{10}$/;

/** What a bridge says of its owner: pids come again, when a process began does not. */
export const ownerMark = (): string => `nsjs ${process.pid} ${startedAt('self')}`;

function startedAt(pid: string): string {
  // The name of the program may hold anything; the fields count from the bracket that ends it.
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
}

function isAlive(mark: string): boolean {
  const [, pid, started] = /^nsjs (\d+) (\d+)$/.exec(mark) ?? [];
  // What bears no mark is not known to be anybody's.
  if (pid === undefined) return true;
  try {
    return startedAt(pid) === started;
  } catch {
    return false;
  }
}

/** Removes what processes left in this network namespace that died: bridges that nobody is plugged into, and their rules. */
export function sweepNetworks(): void {
  const route = NetlinkSocket.open('route');
  const filter = NetlinkSocket.open('netfilter');
  try {
    const links = route.get(dumpLinks()).flatMap((message) => decodeLink(message) ?? []);
    const bridges = links.filter(({ kind, name }) => kind === 'bridge' && bridgeName.test(name));
    const isUsed = (index: number) => links.some(({ master }) => master === index);
    const dead = bridges.filter(({ index, alias = '' }) => !isAlive(alias) && !isUsed(index));
    for (const { index } of dead) route.request(deleteLink(index));
    const left = new Set(bridges.filter((one) => !dead.includes(one)).map(({ name }) => name));
    const tables = filter.get(dumpTables('inet')).map(tableName);
    for (const name of tables) if (bridgeName.test(name) && !left.has(name)) filter.batch([deleteTable(tableOf(name))]);
  } catch (error) {
    // Two may sweep at once: what one has removed the other does not find.
    debug('sweep: %s', (error as Error).message);
  } finally {
    route.close();
    filter.close();
  }
}
