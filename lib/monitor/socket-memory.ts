import { boundedText } from '../proc/bounded-text';

/** What was handed over with MSG_MORE lies in pages that no count of the machine shows. */
const corked: Readonly<Record<string, number>> = { UDP: 64 * 1024, UDPv6: 64 * 1024 };

/** What sockets can hold that no cgroup is charged for, by protocol as /proc/net/protocols names it: queues in bytes. */
const uncharged: Readonly<Record<string, number>> = {
  // Connections that nobody has accepted yet; a group of version 1 is charged for the others up to its limit for TCP.
  TCP: 24 * 1024,
  TCPv6: 24 * 1024,
  ...corked,
  // Answers and errors that nobody reads.
  NETLINK: 256 * 1024,
};

const maxText = 16 * 1024;
const pageSize = 4096;
const kilobyte = 1024;
/** The machine's is read this often at most, in ms. */
const freshMs = 50;
/** Growth that any machine has. */
const patience = 64 * 2 ** 20;

let lowest = Number.POSITIVE_INFINITY;
let readAt = Number.NEGATIVE_INFINITY;
let hasGrown = false;

/** Bytes that the machine's sockets and the kernel's own objects take: of TCP and UDP in all namespaces together. Pure. */
export function machineMemory(sockstat: string, meminfo: string): number {
  const pages = [...sockstat.matchAll(/^(?:TCP|UDP): .*\bmem (\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  return pages * pageSize + Number(/^SUnreclaim:\s+(\d+)/m.exec(meminfo)?.[1] ?? 0) * kilobyte;
}

/**
 * Whether the memory of the machine's sockets has grown at all since this process looks. Two small reads for all sandboxes together: before it
 * has, none of them is looked at by itself.
 */
export function machineHasGrown(): boolean {
  const now = performance.now();
  if (now - readAt < freshMs) return hasGrown;
  readAt = now;
  const used = machineMemory(boundedText('/proc/net/sockstat', maxText), boundedText('/proc/meminfo', maxText));
  lowest = Math.min(lowest, used);
  hasGrown = used > lowest + patience;
  return hasGrown;
}

/**
 * What the sockets of a network namespace can hold without being charged to anybody, from its /proc/net/protocols; those that the machine's
 * counts would show only once these have grown. Pure.
 */
export function socketMemory(protocols: string, hasGrown: boolean): number {
  const sizes = hasGrown ? uncharged : corked;
  return protocols.split('\n').reduce((sum, line) => {
    const [name = '', , count = ''] = line.split(/\s+/);
    return sum + (Object.hasOwn(sizes, name) ? (sizes[name] ?? 0) : 0) * Math.max(0, Number(count) || 0);
  }, 0);
}

/** The same of the one that a process is in. */
export const socketMemoryOf = (pid: number): number => socketMemory(boundedText(`/proc/${pid}/net/protocols`, maxText), machineHasGrown());
