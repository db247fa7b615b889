import { ipBytes } from '../base/ip';
import { type NetlinkMessage, netlinkFlags, type ReceivedMessage } from './message';

/** One end of a connection. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

const byFamily = 20; // SOCK_DIAG_BY_FAMILY
const families = { inet: 2, inet6: 10 } as const;
const protocols = { tcp: 6, udp: 17 } as const;
const requestSize = 56;
const inodeAt = 68;
const anyState = 0xffffffff;

/**
 * Requests the one socket that has these two ends, sock_diag(7), Linux 3.3. The kernel looks it up in its table, so the
 * number of sockets does not matter. Pure.
 */
export function findSocket(protocol: keyof typeof protocols, local: Endpoint, remote: Endpoint): NetlinkMessage {
  const isSix = ipBytes(local.address).length === 16;
  const payload = Buffer.alloc(requestSize);
  payload[0] = isSix ? families.inet6 : families.inet;
  payload[1] = protocols[protocol];
  payload.writeUInt32LE(anyState, 4);
  // For UDP the kernel expects the two ends in reverse order.
  const [source, destination] = protocol === 'tcp' ? [local, remote] : [remote, local];
  payload.writeUInt16BE(source.port, 8);
  payload.writeUInt16BE(destination.port, 10);
  payload.set(ipBytes(source.address), 12);
  payload.set(ipBytes(destination.address), 28);
  // Any interface, and no cookie.
  payload.fill(0xff, 48, 56);
  return { type: byFamily, flags: netlinkFlags.request, payload };
}

/**
 * Returns the inode of the socket that was found; 0 if no process has it open any more. Undefined for any other
 * message. Pure.
 */
export const inodeOf = ({ type, payload }: ReceivedMessage): number | undefined =>
  type === byFamily && payload.length >= inodeAt + 4 ? payload.readUInt32LE(inodeAt) : undefined;
