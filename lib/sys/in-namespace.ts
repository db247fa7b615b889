import { SysError } from '../base/errors';
import { bare } from '../base/parse';
import { native } from '../native/addon';
import { type Arch, syscallName } from '../seccomp/tables';
import { close } from './file';

/** Descriptors of the namespaces of a socket. */
export interface SocketNamespaces {
  readonly netFd: number;
  /**
   * The user namespace that owns the network namespace, for callers that have no capabilities over the network
   * namespace.
   */
  readonly userFd?: number;
}

/**
 * A request that a child carries out in other namespaces. With `optional`, a failed request yields -1 instead of an
 * error.
 */
export type NamespaceRequest = { readonly optional?: boolean } & (
  | {
      readonly kind: 'socket';
      readonly family: number;
      readonly type: number;
      readonly protocol?: number;
      /** Backlog of listen(2). Default: the socket does not listen. */
      readonly backlog?: number;
      readonly reuse?: boolean;
      readonly transparent?: boolean;
      /** The struct sockaddr to bind to. */
      readonly address?: Uint8Array;
      /** Text for the address in errors. */
      readonly path?: string;
    }
  | { readonly kind: 'open'; readonly path: string; readonly flags: number }
  | { readonly kind: 'write'; readonly path: string; readonly text: string }
);

/**
 * Namespaces that the child enters before it carries out requests. `fresh`: the child also creates a network namespace,
 * either in the user namespace that it has entered or else in this process's (`'net'`), or in a new one (`'user'`).
 */
export interface Birthplace {
  readonly netFd?: number;
  readonly userFd?: number;
  readonly fresh?: 'net' | 'user';
}

const requestSize = 304;
const dataAt = 48;
const resultAt = 32;
const maxData = requestSize - dataAt;
const kinds = { socket: 0, open: 1, write: 2 } as const;
const fresh = { none: 0, net: 1, user: 2 } as const;
const enametoolong = 36;

/**
 * Carries out requests in other namespaces. A child that shares this process's descriptor table enters or creates the
 * namespaces (setns(2), unshare(2)), carries out the requests and exits. The call blocks for about 0.3 ms, whatever the
 * number of requests. Returns a descriptor for each request, -1 for those that write. Throws SysError for the first
 * request that failed; the descriptors of all others are then closed.
 */
export function inNamespace(birthplace: Birthplace, asked: readonly NamespaceRequest[]): readonly number[] {
  const place = bare({ ...birthplace });
  const requests = asked.map((request) => bare({ ...request }));
  const bytes = Buffer.alloc(requestSize * requests.length);
  for (const [index, request] of requests.entries()) write(bytes.subarray(index * requestSize, (index + 1) * requestSize), request);
  const results = new Int32Array(2);
  native().inNamespace(place.userFd ?? -1, place.netFd ?? -1, fresh[place.fresh ?? 'none'], bytes, results);
  const [errno = 0, nr = 0] = results;
  if (errno !== 0) throw new SysError({ errno, syscall: syscallName(nr, process.arch as Arch) });
  return collect(bytes, requests);
}

function write(to: Buffer, request: NamespaceRequest): void {
  const { data, words } = encode(request);
  if (data.length > maxData) throw new SysError({ errno: enametoolong, syscall: request.kind });
  for (const [index, word] of [kinds[request.kind], ...words, data.length, -1].entries()) to.writeInt32LE(word, index * 4);
  to.set(data, dataAt);
}

function encode(request: NamespaceRequest): { readonly data: Uint8Array; readonly words: readonly number[] } {
  switch (request.kind) {
    case 'socket': {
      const { family, type, protocol = 0, backlog = -1, reuse = false, transparent = false, address } = request;
      return { data: address ?? new Uint8Array(), words: [family, type, protocol, backlog, reuse ? 1 : 0, transparent ? 1 : 0] };
    }
    case 'open':
      return { data: Buffer.from(`${request.path}\0`), words: [0, request.flags, 0, -1, 0, 0] };
    case 'write':
      return { data: Buffer.from(`${request.path}\0${request.text}`), words: [0, 0, 0, -1, 0, 0] };
  }
}

function collect(bytes: Buffer, requests: readonly NamespaceRequest[]): readonly number[] {
  const made = requests.map((request, index) => {
    const at = index * requestSize + resultAt;
    return { request, fd: bytes.readInt32LE(at), errno: bytes.readInt32LE(at + 4), nr: bytes.readInt32LE(at + 8) };
  });
  const failed = made.find(({ errno, request }) => errno !== 0 && !request.optional);
  if (!failed) return made.map(({ fd }) => fd);
  for (const { fd, errno } of made) if (errno === 0 && fd >= 0) close(fd);
  throw new SysError({ errno: failed.errno, syscall: syscallName(failed.nr, process.arch as Arch), path: failed.request.path });
}
