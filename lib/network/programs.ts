import { readdirSync, readlinkSync } from 'node:fs';
import type { EgressProgram } from '../features/egress-events';
import { ipBytes } from '../ip';
import { descendants, readText } from '../monitor/process-reader';

/** The program below `init` that has a socket on this port; undefined where it is gone or can't be told. */
function programOf(init: number, protocol: 'tcp' | 'udp', address: string, port: number, effort: Effort): EgressProgram | undefined {
  const bytes = ipBytes(address);
  const inode = inodeOf(readText(`/proc/${init}/net/${protocol}${bytes.length === 16 ? '6' : ''}`), port);
  // A socket of both families is listed as IPv6, whatever it is connected to.
  const found = inode ?? inodeOf(readText(`/proc/${init}/net/${protocol}6`), port);
  if (found === undefined) return undefined;
  const pid = descendants(init)
    .slice(0, maxProcesses)
    .find((one) => effort.ms < maxLookupMs && hasSocket(one, found, effort));
  return pid === undefined ? undefined : { pid, command: readText(`/proc/${pid}/comm`).trimEnd() };
}

const msPerSecond = 60;
const maxLookupMs = 15;
const maxDescriptors = 256;
const maxProcesses = 256;

/** Time since it was made that this thread may have worked at most: what passes while the whole process waits for a CPU is not counted. */
class Effort {
  private readonly start = performance.now();
  private readonly cpu = process.cpuUsage();

  get ms(): number {
    const wall = performance.now() - this.start;
    if (wall < 1) return wall;
    const { user, system } = process.cpuUsage(this.cpu);
    return Math.min(wall, (user + system) / 1000);
  }
}

/** Finds the programs of one sandbox, once it has an init. */
export class ProgramFinder {
  init: () => number | undefined = () => undefined;
  // Each reads through all that /proc tells of sockets and processes: a flood must not make this thread do nothing else.
  private since = 0;
  private spent = 0;

  find(protocol: 'tcp' | 'udp', address: string, port: number): EgressProgram | undefined {
    const init = this.init();
    const now = performance.now();
    if (now - this.since >= 1000) {
      this.since = now;
      this.spent = 0;
    }
    if (init === undefined || this.spent >= msPerSecond) return undefined;
    const effort = new Effort();
    try {
      return programOf(init, protocol, address, port, effort);
    } finally {
      this.spent += effort.ms;
    }
  }
}

const listening = '0A';

// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode`
function inodeOf(table: string, port: number): string | undefined {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  for (const line of table.split('\n').slice(1)) {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
    if (local.endsWith(`:${hex}`) && state !== listening && inode !== '0') return inode;
  }
  return undefined;
}

function hasSocket(pid: number, inode: string, effort: Effort): boolean {
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
