import { decodeLink } from '../../../dist/netlink/decode';
import { dumpLinks } from '../../../dist/netlink/link';
import { dumpTables, tableName } from '../../../dist/netlink/nftables';
import { NetlinkSocket } from '../../../dist/sys/netlink-socket';

function dumped<T>(protocol: 'route' | 'netfilter', read: (socket: NetlinkSocket) => readonly T[]): readonly T[] {
  const socket = NetlinkSocket.open(protocol);
  try {
    return read(socket);
  } finally {
    socket.close();
  }
}

/** Returns the names of the interfaces in the network namespace of this process. */
export const links = (): readonly string[] =>
  dumped('route', (socket) => socket.get(dumpLinks()).flatMap((message) => decodeLink(message)?.name ?? []));

/** Returns the names of its nftables tables; none if this process may not list them. */
export function tables(): readonly string[] {
  try {
    return dumped('netfilter', (socket) => socket.get(dumpTables('inet')).map(tableName));
  } catch {
    return [];
  }
}
