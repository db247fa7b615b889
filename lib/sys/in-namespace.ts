import { SysError } from '../base/errors';
import { bare } from '../base/parse';
import { native } from '../native/addon';
import { type Arch, syscallName } from '../seccomp/tables';
import { close } from './file';

/** Namespaces of a socket: descriptors. */
export interface SocketNamespaces {
  readonly netFd: number;
  /** The user namespace that owns it, for callers that have no rights in the network namespace by themselves. */
  readonly userFd?: number;
}

/** What a child does in other namespaces; the descriptors are this process's. `optional`: -1 where it fails. */
export type NamespaceRequest = { readonly optional?: boolean } & (
  | {
      readonly kind: 'socket';
      readonly family: number;
      readonly type: number;
      readonly protocol?: number;
      /** Length of the queue of listen(2). Default: it does not listen. */
      readonly backlog?: number;
      readonly reuse?: boolean;
      readonly transparent?: boolean;
      /** struct sockaddr to bind to. */
      readonly address?: Uint8Array;
      /** Of the address, in errors. */
      readonly path?: string;
    }
  | { readonly kind: 'open'; readonly path: string; readonly flags: number }
  | { readonly kind: 'write'; readonly path: string; readonly text: string }
);

/** Where a child is born. `fresh`: a new network namespace, made in the one that is given or in a new user namespace. */
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
 * A child that shares the table of descriptors enters or makes the namespaces (setns(2), unshare(2)), does what is asked and ends.
 * Some 0.3 ms for all together; blocks that long. Returns a descriptor for each request, -1 for those that write.
 * Throws SysError for the first that failed, with all others closed.
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
