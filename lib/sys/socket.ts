import { isIP, isIPv4 } from 'node:net';
import { errnos } from '../base/errnos';
import { SysError } from '../base/errors';
import { ipBytes } from '../base/ip';
import { bare, parseInteger } from '../base/parse';
import { inNamespace, type NamespaceRequest, type SocketNamespaces } from './in-namespace';

export type { SocketNamespaces } from './in-namespace';

/** A socket to create in another network namespace. */
export interface SocketRequest {
  /** `'netlink'` creates a netlink(7) socket, `'packet'` a packet(7) socket that receives every frame. */
  readonly type: 'stream' | 'dgram' | 'netlink' | 'packet';
  /**
   * Address to bind to: an address of the network namespace and a port (0: any free port), or the name of an abstract
   * Unix socket.
   */
  readonly bind?: { readonly host: string; readonly port: number } | { readonly abstract: string };
  /** Backlog of listen(2). Default: the socket does not listen. */
  readonly listen?: number;
  /** Address family of a socket that is not bound. Default `'inet'`. */
  readonly family?: 'inet' | 'inet6' | 'unix';
  /** Protocol of a netlink socket: 0 for rtnetlink(7) (default), 12 for nfnetlink. */
  readonly protocol?: number;
  /** IP_TRANSPARENT: the socket accepts connections to any address. Needs CAP_NET_ADMIN over the namespace. */
  readonly transparent?: boolean;
}

const families = { unix: 1, inet: 2, inet6: 10, netlink: 16, packet: 17 } as const;
const types = { stream: 1, dgram: 2, netlink: 3, packet: 3 } as const;
const everyFrame = 0x0300; // ETH_P_ALL in network byte order

/**
 * Creates sockets of this process in another network namespace. No thread of this process enters it: a child that
 * shares the descriptor table enters the namespace (setns(2)), creates the sockets and exits. The call blocks for about
 * 0.3 ms, whatever the number of sockets. The sockets are non-blocking and close-on-exec. Each keeps the namespace
 * alive until it is closed.
 * Throws SysError for the first socket that failed, with all others closed: EPERM, EADDRINUSE, EADDRNOTAVAIL, EACCES.
 */
export function socketIn(namespaces: SocketNamespaces, requests: readonly SocketRequest[]): readonly number[] {
  return inNamespace(namespaces, requests.map(socketRequest));
}

/** Converts a socket request for {@link inNamespace}, so that it can be combined with other requests. */
export function socketRequest(request: SocketRequest): NamespaceRequest {
  const { type, bind: given, listen, family, protocol, transparent } = bare({ ...request });
  const bind = given && bare({ ...given });
  const address = bind === undefined ? undefined : addressOf(bind);
  const own = type === 'netlink' || type === 'packet' ? families[type] : undefined;
  return bare({
    kind: 'socket',
    family: own ?? address?.family ?? families[family ?? 'inet'],
    type: types[type],
    protocol: protocol ?? (type === 'packet' ? everyFrame : 0),
    reuse: bind !== undefined && type === 'stream',
    transparent: transparent ?? false,
    ...(listen === undefined ? {} : { backlog: listen }),
    ...(address === undefined ? {} : { address: address.bytes }),
    ...(bind === undefined ? {} : { path: 'host' in bind ? `${bind.host}:${bind.port}` : `@${bind.abstract}` }),
  });
}

function addressOf(bind: NonNullable<SocketRequest['bind']>): { readonly family: number; readonly bytes: Buffer } {
  if ('abstract' in bind) {
    return { family: families.unix, bytes: Buffer.concat([Buffer.from([families.unix, 0, 0]), Buffer.from(bind.abstract)]) };
  }
  if (isIP(bind.host) === 0 || bind.host.includes('%'))
    throw new SysError({ errno: errnos.EINVAL, syscall: 'bind', path: bind.host, hint: 'expected an IP address' });
  const port = Buffer.alloc(2);
  port.writeUInt16BE(parseInteger(bind.port, 'bind.port', 0, 65_535));
  if (isIPv4(bind.host)) {
    const bytes = Buffer.concat([Buffer.from([families.inet, 0]), port, ipBytes(bind.host), Buffer.alloc(8)]);
    return { family: families.inet, bytes };
  }
  const bytes = Buffer.concat([Buffer.from([families.inet6, 0]), port, Buffer.alloc(4), ipBytes(bind.host), Buffer.alloc(4)]);
  return { family: families.inet6, bytes };
}
