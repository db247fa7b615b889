import { isIP, isIPv4 } from 'node:net';
import { SysError } from '../errors';
import { native } from '../native';
import { parseInteger } from '../parse';
import { type Arch, syscallName } from '../seccomp/tables';

/** A socket to be made in another network namespace. */
export interface SocketRequest {
  readonly type: 'stream' | 'dgram' | 'netlink';
  /** Where to bind it: an address of its own namespace and a port (0: any), or the name of an abstract Unix socket. */
  readonly bind?: { readonly host: string; readonly port: number } | { readonly abstract: string };
  /** Length of the queue of listen(2). Default: it does not listen. */
  readonly listen?: number;
  /** Address family where it is not bound. Default `'inet'`. */
  readonly family?: 'inet' | 'inet6' | 'unix';
  /** IP_TRANSPARENT: it takes connections to any address (needs CAP_NET_ADMIN over the namespace). */
  readonly transparent?: boolean;
}

/** Namespaces of a socket: descriptors. */
export interface SocketNamespaces {
  readonly netFd: number;
  /** The user namespace that owns it, for callers that have no rights in the network namespace by themselves. */
  readonly userFd?: number;
}

const families = { unix: 1, inet: 2, inet6: 10, netlink: 16 } as const;
const types = { stream: 1, dgram: 2, netlink: 3 } as const;
const requestSize = 168;
const addressAt = 40;
const resultAt = 24;

/**
 * Makes sockets in another network namespace, of this process, without any thread of it going there: a child that shares
 * the table of descriptors enters the namespace (setns(2)), makes them and ends. Some 0.3 ms for all together; blocks that
 * long. The sockets are non-blocking and close-on-exec; each keeps the namespace alive until it is closed.
 * Throws SysError for the first that failed, with all others closed: EPERM, EADDRINUSE, EADDRNOTAVAIL, EACCES.
 */
export function socketIn(namespaces: SocketNamespaces, requests: readonly SocketRequest[]): readonly number[] {
  const bytes = Buffer.alloc(requestSize * requests.length);
  for (const [index, request] of requests.entries()) write(bytes.subarray(index * requestSize), request);
  const results = new Int32Array(2);
  native().socketIn(namespaces.userFd ?? -1, namespaces.netFd, bytes, results);
  const [errno = 0, nr = 0] = results;
  if (errno !== 0) throw new SysError({ errno, syscall: syscallName(nr, process.arch as Arch) });
  return collect(bytes, requests);
}

function collect(bytes: Buffer, requests: readonly SocketRequest[]): readonly number[] {
  const made = Array.from({ length: requests.length }, (_, index) => {
    const at = index * requestSize + resultAt;
    return { fd: bytes.readInt32LE(at), errno: bytes.readInt32LE(at + 4), nr: bytes.readInt32LE(at + 8) };
  });
  const failed = made.find(({ errno }) => errno !== 0);
  if (!failed) return made.map(({ fd }) => fd);
  const closeNumber = 3;
  for (const { fd, errno } of made) if (errno === 0) native().syscall(process.arch === 'x64' ? closeNumber : 57, fd);
  const { bind } = requests[made.indexOf(failed)] ?? {};
  const path = bind && ('host' in bind ? `${bind.host}:${bind.port}` : `@${bind.abstract}`);
  throw new SysError({ errno: failed.errno, syscall: syscallName(failed.nr, process.arch as Arch), path });
}

function write(to: Buffer, { type, bind, listen, family, transparent }: SocketRequest): void {
  const address = bind === undefined ? undefined : addressOf(bind);
  const wanted = type === 'netlink' ? families.netlink : (address?.family ?? families[family ?? 'inet']);
  const words = [
    wanted,
    types[type],
    0,
    listen ?? -1,
    bind !== undefined && type === 'stream' ? 1 : 0,
    address?.bytes.length ?? 0,
    -1,
    0,
    0,
  ];
  for (const [index, word] of words.entries()) to.writeInt32LE(word, index * 4);
  to.writeInt32LE(transparent ? 1 : 0, 36);
  address?.bytes.copy(to, addressAt);
}

function addressOf(bind: NonNullable<SocketRequest['bind']>): { readonly family: number; readonly bytes: Buffer } {
  if ('abstract' in bind) {
    return { family: families.unix, bytes: Buffer.concat([Buffer.from([families.unix, 0, 0]), Buffer.from(bind.abstract)]) };
  }
  if (isIP(bind.host) === 0 || bind.host.includes('%'))
    throw new SysError({ errno: 22, syscall: 'bind', path: bind.host, hint: 'expected an IP address' });
  const port = Buffer.alloc(2);
  port.writeUInt16BE(parseInteger(bind.port, 'bind.port', 0, 65_535));
  if (isIPv4(bind.host)) {
    const bytes = Buffer.concat([Buffer.from([families.inet, 0]), port, Buffer.from(bind.host.split('.').map(Number)), Buffer.alloc(8)]);
    return { family: families.inet, bytes };
  }
  const bytes = Buffer.concat([Buffer.from([families.inet6, 0]), port, Buffer.alloc(4), ipv6Bytes(bind.host), Buffer.alloc(4)]);
  return { family: families.inet6, bytes };
}

function ipv6Bytes(host: string): Buffer {
  // The URL parser writes every form of an IPv6 address in the shortest one, in hexadecimal groups alone.
  const [head = '', tail] = new URL(`http://[${host}]/`).hostname.slice(1, -1).split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const [first, last] = [groups(head), tail === undefined ? [] : groups(tail)];
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of all.entries()) bytes.writeUInt16BE(group, index * 2);
  return bytes;
}
