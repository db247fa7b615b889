import { closeSync, openSync, readFileSync } from 'node:fs';
import { ipText } from '../base/ip';
import { host } from '../host/host';
import { decodeAddress, decodeLink, decodeRoute, type LinkFact, type RouteFact } from '../netlink/decode';
import { dumpLinks } from '../netlink/link';
import { decodeAttributes, stringOf } from '../netlink/message';
import { dumpRules } from '../netlink/nftables';
import { dumpAddresses, dumpRoutes, routeTables } from '../netlink/route';
import { descendants } from '../proc/processes';
import { nsUserns } from '../sys/namespace';
import { NetlinkSocket } from '../sys/netlink-socket';

/** A connection, or a socket that waits for one. */
export interface ConnectionFact {
  readonly protocol: 'tcp' | 'udp';
  readonly local: string;
  readonly remote: string;
  /** State as shown by ss(8), such as `ESTAB` or `LISTEN`. */
  readonly state: string;
  readonly uid: number;
}

/** State of a network namespace. */
export interface NetworkFacts {
  readonly interfaces: readonly (LinkFact & { readonly addresses: readonly string[] })[];
  /** Routes of all tables; from the local table only local routes with prefix length 0. */
  readonly routes: readonly RouteFact[];
  /** Number of nftables rules by table and chain. */
  readonly rules: Readonly<Record<string, number>>;
  readonly connections: readonly ConnectionFact[];
}

/** Reads the network state of the sandbox with this init. Parts that the caller may not read are empty. */
export function inspectNetwork(init: number): NetworkFacts {
  const connections = readConnections(init);
  const netFd = openNamespace(init);
  if (netFd === undefined) return { interfaces: [], routes: [], rules: {}, connections };
  let userFd: number | undefined;
  try {
    userFd = host().privileged ? undefined : nsUserns(netFd);
    const where = { netFd, ...(userFd === undefined ? {} : { userFd }) };
    return { ...readRoute(where), rules: readRules(where), connections };
  } finally {
    if (userFd !== undefined) closeSync(userFd);
    closeSync(netFd);
  }
}

// Only root may inspect init itself. Its programs are in the same namespace.
function openNamespace(init: number): number | undefined {
  for (const pid of descendants(init)) {
    try {
      return openSync(`/proc/${pid}/ns/net`, 'r');
    } catch {
      // Try the next one.
    }
  }
  return undefined;
}

function readRoute(where: { readonly netFd: number; readonly userFd?: number }): Pick<NetworkFacts, 'interfaces' | 'routes'> {
  const socket = NetlinkSocket.open('route', where);
  try {
    const addresses = socket.get(dumpAddresses()).flatMap((message) => decodeAddress(message) ?? []);
    const interfaces = socket
      .get(dumpLinks())
      .flatMap((message) => decodeLink(message) ?? [])
      .map((link) => ({
        ...link,
        addresses: addresses.filter(({ index }) => index === link.index).map(({ address, prefix }) => `${address}/${prefix}`),
      }));
    const routes = (['inet', 'inet6'] as const)
      .flatMap((family) => socket.get(dumpRoutes(family)))
      .flatMap((message) => decodeRoute(message) ?? [])
      .filter(({ table, type, destination }) => table !== routeTables.local || (type === 'local' && destination.prefix === 0));
    return { interfaces, routes };
  } finally {
    socket.close();
  }
}

function readRules(where: { readonly netFd: number; readonly userFd?: number }): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  let socket: NetlinkSocket | undefined;
  try {
    socket = NetlinkSocket.open('netfilter', where);
    for (const { payload } of socket.get(dumpRules('inet'))) {
      const attributes = decodeAttributes(payload.subarray(4));
      const [table, chain] = [1, 2].map((type) => stringOf(attributes.get(type) ?? Buffer.alloc(0)));
      const key = `${table} ${chain}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
  } catch {
    // A kernel without nftables has no rules.
  } finally {
    socket?.close();
  }
  return counts;
}

const states: Readonly<Record<string, string>> = {
  '01': 'ESTAB',
  '02': 'SYN-SENT',
  '03': 'SYN-RECV',
  '04': 'FIN-WAIT-1',
  '05': 'FIN-WAIT-2',
  '06': 'TIME-WAIT',
  '07': 'UNCONN',
  '08': 'CLOSE-WAIT',
  '09': 'LAST-ACK',
  '0A': 'LISTEN',
  '0B': 'CLOSING',
};

function readConnections(init: number): readonly ConnectionFact[] {
  return (['tcp', 'tcp6', 'udp', 'udp6'] as const).flatMap((name) => {
    const protocol = name.startsWith('tcp') ? 'tcp' : 'udp';
    return parseSockets(readWhole(`/proc/${init}/net/${name}`), protocol);
  });
}

// The size is not limited, because only the command line uses this, where nothing else has to wait.
function readWhole(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Parses /proc/net/tcp and similar files, proc_net(5). */
export function parseSockets(text: string, protocol: ConnectionFact['protocol']): readonly ConnectionFact[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local, remote, state = '', , , , uid] = line.trim().split(/\s+/);
      if (local === undefined || remote === undefined) return [];
      return [{ protocol, local: endpoint(local), remote: endpoint(remote), state: states[state] ?? state, uid: Number(uid) }];
    });
}

// The 32-bit words of an address are in host byte order.
function endpoint(text: string): string {
  const [address = '', port = '0'] = text.split(':');
  const bytes = Buffer.from(address, 'hex').swap32();
  const shown = bytes.length === 16 ? `[${ipText(bytes)}]` : ipText(bytes);
  return `${shown}:${Number.parseInt(port, 16)}`;
}
