import { readdirSync, readlinkSync } from 'node:fs';
import { monotonic } from '../base/clock';
import type { EgressProgram } from '../features/egress-events';
import { type NativeWatch, native } from '../native/addon';
import { type Endpoint, findSocket, inodeOf } from '../netlink/sock-diag';
import { boundedText } from '../proc/bounded-text';
import { descendants } from '../proc/processes';
import { NetlinkSocket } from '../sys/netlink-socket';

const readable = 1;
const msPerSecond = 40;
const maxLookupMs = 6;
const maxDescriptors = 256;
const maxProcesses = 256;
const maxName = 64;

/**
 * Measures the most time that this thread can have worked since the object was created. Time in which the whole process
 * waits for a CPU is not counted.
 */
class Effort {
  private readonly start = monotonic();
  private readonly cpu = process.cpuUsage();

  get ms(): number {
    const wall = monotonic() - this.start;
    if (wall < 1) return wall;
    const { user, system } = process.cpuUsage(this.cpu);
    return Math.min(wall, (user + system) / 1000);
  }
}

/** Finds the program of one sandbox that owns a connection, once the sandbox's init exists. */
export class ProgramFinder {
  private readonly sockets: NetlinkSocket | undefined;
  private handle: NativeWatch | undefined;
  // Each lookup reads /proc of every process of the sandbox. The budget keeps a flood of connections from occupying
  // this thread.
  private since = 0;
  private spent = 0;

  /**
   * Takes ownership of `diag`, a sock_diag(7) socket in the sandbox's network namespace. Without it no program is
   * found.
   */
  constructor(
    private readonly init: () => number | undefined,
    diag: number | undefined,
  ) {
    if (diag === undefined) return;
    this.sockets = new NetlinkSocket(diag);
    // A watched descriptor is closed when its thread ends, however that happens.
    const watch = native().watchFd(diag, readable, () => {});
    if (typeof watch === 'number') return;
    native().refWatch(watch, 0);
    this.handle = watch;
  }

  /** Returns the program whose socket has these two ends; undefined if the program is gone or cannot be determined. */
  find(protocol: 'tcp' | 'udp', local: Endpoint, remote: Endpoint): EgressProgram | undefined {
    const init = this.init();
    const now = monotonic();
    if (now - this.since >= 1000) {
      this.since = now;
      this.spent = 0;
    }
    if (init === undefined || this.spent >= msPerSecond) return undefined;
    const effort = new Effort();
    try {
      const inode = this.inodeOf(protocol, local, remote);
      return inode === undefined ? undefined : holderOf(init, inode, effort);
    } finally {
      this.spent += effort.ms;
    }
  }

  close(): void {
    if (this.handle) native().unwatchFd(this.handle);
    this.handle = undefined;
    this.sockets?.close();
  }

  private inodeOf(protocol: 'tcp' | 'udp', local: Endpoint, remote: Endpoint): number | undefined {
    try {
      const [found] = this.sockets?.get(findSocket(protocol, local, remote)) ?? [];
      return (found && inodeOf(found)) || undefined;
    } catch {
      // The socket is gone, or the kernel does not report it.
      return undefined;
    }
  }
}

function holderOf(init: number, inode: number, effort: Effort): EgressProgram | undefined {
  const pid = descendants(init)
    .slice(0, maxProcesses)
    .find((one) => effort.ms < maxLookupMs && hasSocket(one, inode, effort));
  return pid === undefined ? undefined : { pid, command: boundedText(`/proc/${pid}/comm`, maxName).trimEnd() };
}

function hasSocket(pid: number, inode: number, effort: Effort): boolean {
  try {
    const fds = readdirSync(`/proc/${pid}/fd`).slice(0, maxDescriptors);
    return fds.some((fd) => effort.ms < maxLookupMs && linkOf(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`);
  } catch {
    return false;
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
