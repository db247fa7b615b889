import { statSync } from 'node:fs';
import { debuglog } from 'node:util';
import { decodeLink } from '../../netlink/decode';
import { deleteLink, dumpLinks } from '../../netlink/link';
import { deleteTable, dumpTables, tableName } from '../../netlink/nftables';
import { startedAt } from '../../proc/stat';
import { NetlinkSocket } from '../../sys/netlink-socket';
import { tableOf } from './nft-rules';

const debug = debuglog('nsjs');
const bridgeName = /^nsjs-[0-9a-f]{10}$/;

/**
 * Returns the mark that identifies the owner of a bridge. It includes the start time of the process, because pids are
 * reused.
 */
export const ownerMark = (): string => `nsjs ${pidNamespace()} ${process.pid} ${startedAt('self')}`;

const pidNamespace = (): number => statSync('/proc/self/ns/pid').ino;

function isAlive(mark: string): boolean {
  const [, namespace, pid, started] = /^nsjs (\d+) (\d+) (\d+)$/.exec(mark) ?? [];
  // A bridge without a mark may belong to anyone, and a process of another pid namespace cannot be checked.
  if (pid === undefined || Number(namespace) !== pidNamespace()) return true;
  try {
    return startedAt(pid) === Number(started);
  } catch {
    return false;
  }
}

/**
 * Removes networks left in this network namespace by processes that have died: bridges without attached sandboxes, and
 * their rules.
 */
export function sweepNetworks(): void {
  const route = NetlinkSocket.open('route');
  const filter = NetlinkSocket.open('netfilter');
  try {
    // Read the tables first: a network that is created at the same time gets its link before its table.
    const tables = filter.get(dumpTables('inet')).map(tableName);
    const links = route.get(dumpLinks()).flatMap((message) => decodeLink(message) ?? []);
    const bridges = links.filter(({ kind, name }) => kind === 'bridge' && bridgeName.test(name));
    const isUsed = (index: number) => links.some(({ master }) => master === index);
    const dead = bridges.filter(({ index, alias = '' }) => !isAlive(alias) && !isUsed(index));
    for (const { index } of dead) route.request(deleteLink(index));
    const left = new Set(bridges.filter((one) => !dead.includes(one)).map(({ name }) => name));
    for (const name of tables) if (bridgeName.test(name) && !left.has(name)) filter.batch([deleteTable(tableOf(name))]);
  } catch (error) {
    // Two processes may sweep at the same time. One then does not find what the other has removed.
    debug('sweep: %s', (error as Error).message);
  } finally {
    route.close();
    filter.close();
  }
}
