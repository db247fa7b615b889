import { monotonic } from '../base/clock';
import { boundedText } from '../proc/bounded-text';

/**
 * Bytes that a socket can hold in data sent with MSG_MORE. This data is in pages that no counter of the machine
 * includes.
 */
const corked: Readonly<Record<string, number>> = { UDP: 64 * 1024, UDPv6: 64 * 1024 };

/**
 * Bytes that a socket can hold in its queues without being charged to any cgroup, by protocol as in
 * /proc/net/protocols.
 */
const uncharged: Readonly<Record<string, number>> = {
  // Connections that have not been accepted yet. A version 1 cgroup is charged for accepted ones up to its TCP limit.
  TCP: 24 * 1024,
  TCPv6: 24 * 1024,
  ...corked,
  // Unread replies and errors.
  NETLINK: 256 * 1024,
};

const maxText = 16 * 1024;
const pageSize = 4096;
const kilobyte = 1024;
/** Minimum time between two reads of the machine's counters, in ms. */
const freshMs = 50;
/** Growth in bytes that is normal on any machine. */
const patience = 64 * 2 ** 20;

let lowest = Number.POSITIVE_INFINITY;
let readAt = Number.NEGATIVE_INFINITY;
let hasGrown = false;

/** Returns the bytes used by TCP and UDP sockets in all namespaces and by unreclaimable kernel objects. Pure. */
export function machineMemory(sockstat: string, meminfo: string): number {
  const pages = [...sockstat.matchAll(/^(?:TCP|UDP): .*\bmem (\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  return pages * pageSize + Number(/^SUnreclaim:\s+(\d+)/m.exec(meminfo)?.[1] ?? 0) * kilobyte;
}

/**
 * Returns whether the socket memory of the machine has grown beyond the lowest value that this process has seen. Two
 * small reads serve all sandboxes. Until it has grown, each sandbox is checked only for memory that the machine's
 * counters do not include.
 */
export function machineHasGrown(): boolean {
  const now = monotonic();
  if (now - readAt < freshMs) return hasGrown;
  readAt = now;
  const used = machineMemory(boundedText('/proc/net/sockstat', maxText), boundedText('/proc/meminfo', maxText));
  lowest = Math.min(lowest, used);
  hasGrown = used > lowest + patience;
  return hasGrown;
}

/**
 * Returns the bytes that the sockets of a network namespace can hold without being charged to any cgroup, from its
 * /proc/net/protocols. Unless the machine's counters have grown, only memory that they do not include is counted. Pure.
 */
export function socketMemory(protocols: string, hasGrown: boolean): number {
  const sizes = hasGrown ? uncharged : corked;
  return protocols.split('\n').reduce((sum, line) => {
    const [name = '', , count = ''] = line.split(/\s+/);
    return sum + (Object.hasOwn(sizes, name) ? (sizes[name] ?? 0) : 0) * Math.max(0, Number(count) || 0);
  }, 0);
}

/** Returns the same for the network namespace of a process. */
export const socketMemoryOf = (pid: number): number => socketMemory(boundedText(`/proc/${pid}/net/protocols`, maxText), machineHasGrown());
