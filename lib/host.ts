import { lstatSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** One name of the host's root folder that a system root repeats. */
export interface SystemEntry {
  readonly target: string;
  /** Set when the host has a symbolic link here: where it leads. */
  readonly link?: string;
}

/** What nsjs knows of the machine and of its own process. Read once; nothing in it changes while the process lives. */
export interface Host {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Root of the initial user namespace with the rights to set sandboxes up from outside. */
  readonly privileged: boolean;
  /** Folders and links with the system's programs and libraries. */
  readonly system: readonly SystemEntry[];
  /** Entries of /etc that programs need and that hold nothing of the host's users. */
  readonly etc: readonly string[];
  /** The running Node's installation, if it lies outside of the system folders. */
  readonly node?: SystemEntry;
  readonly devices: readonly string[];
}

const systemNames = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
// Where certificates lie beside /etc/ssl is a matter of the distribution.
const etcNames = ['/etc/alternatives', '/etc/ssl', '/etc/pki', '/etc/ca-certificates/extracted', '/etc/ld.so.cache', '/etc/ld.so.conf'];
const deviceNames = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];
const capSysAdmin = 21n;

let known: Host | undefined;

export function host(): Host {
  known ??= Object.freeze(read());
  return known;
}

function read(): Host {
  const node = nodeInstallation();
  return {
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    groups: process.getgroups?.() ?? [],
    privileged: isPrivileged(),
    system: systemNames.flatMap(systemEntry),
    etc: etcNames.filter(exists),
    devices: deviceNames.filter((name) => exists(`/dev/${name}`)),
    ...(node ? { node } : {}),
  };
}

function isPrivileged(): boolean {
  if (process.geteuid?.() !== 0) return false;
  try {
    const map = readFileSync('/proc/self/uid_map', 'latin1').trim().split(/\s+/).map(Number);
    const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
    return map[0] === 0 && map[1] === 0 && map[2] === 0xffffffff && ((BigInt(`0x${effective}`) >> capSysAdmin) & 1n) === 1n;
  } catch {
    return false;
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function systemEntry(target: string): readonly SystemEntry[] {
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (!found) return [];
  return [found.isSymbolicLink() ? { target, link: readlinkSync(target) } : { target }];
}

// Only the folder of a real installation: the parent of a lone binary could be somebody's home.
function nodeInstallation(): SystemEntry | undefined {
  const binary = realpathSync(process.execPath);
  if (systemNames.some((name) => binary.startsWith(`${name}/`))) return undefined;
  const prefix = dirname(dirname(binary));
  const isInstallation = prefix !== '/' && exists(`${prefix}/include/node/node.h`);
  return { target: isInstallation ? prefix : binary };
}
