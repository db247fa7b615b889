import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname } from 'node:path';
import { deepFreeze } from '../base/parse';
import { ownChanges } from '../sys/call';
import { landlockAbi } from '../sys/landlock';
import { ids, ownProcess, readHardLimits } from './own-process';
import { runtimeFiles } from './runtime-files';
import { findIdMapHelper, readSubids, type Subids } from './subids';

/** One name of the host's root directory that a system root repeats. */
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
  /** How many CPUs run programs. */
  readonly cpus: number;
  /** Root of the initial user namespace with the rights to set sandboxes up from outside. */
  readonly privileged: boolean;
  /** Directories and links with the system's programs and libraries. */
  readonly system: readonly SystemEntry[];
  /** Entries of /etc that programs need and that hold nothing of the host's users. */
  readonly etc: readonly { readonly target: string; readonly kind: 'dir' | 'file'; readonly isRuntime: boolean }[];
  /** The running Node's program and its packages, if they lie outside of the system directories. */
  readonly node: readonly { readonly target: string; readonly kind: 'dir' | 'file' }[];
  /** This process's hard limits, by the names of getrlimit(2); those that are not unlimited. */
  readonly hardLimits: Readonly<Record<string, number>>;
  readonly devices: readonly string[];
  /** Version of the kernel: [6, 18]. */
  readonly kernel: readonly [major: number, minor: number];
  /** Version of Landlock, 0 for none. */
  readonly landlockAbi: number;
  /** Subordinate ids of an unprivileged caller, subuid(5). */
  readonly subuids: readonly Subids[];
  readonly subgids: readonly Subids[];
  /** newuidmap(1) and newgidmap(1), where they can be trusted. */
  readonly idMapHelpers: { readonly uid: string | undefined; readonly gid: string | undefined };
  /** It has POSIX message queues. */
  readonly hasMqueue: boolean;
  readonly counts: Counts;
}

/** How much the kernel gives of what it counts by user, or for all. */
export interface Counts {
  /** Files of /proc/sys/user by name: of one user in this user namespace. */
  readonly user: Readonly<Record<string, number>>;
  /** Terminals of all file systems of devpts(5) but the first together. */
  readonly terminals: number;
  /** Watches of epoll(7) of one user. */
  readonly watches: number;
}

const systemNames = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
/** Where NixOS and Guix have all of it: packages for everybody to read, and the profile that is in use. */
const storeNames = ['/nix/store', '/gnu/store', '/run/current-system'];
// Where certificates lie beside /etc/ssl is a matter of the distribution.
// Private keys lie beside them.
const etcNames = [
  '/etc/alternatives',
  '/etc/ssl/certs',
  '/etc/ssl/cert.pem',
  '/etc/ssl/openssl.cnf',
  '/etc/pki/tls/certs',
  '/etc/pki/tls/cert.pem',
  '/etc/pki/tls/openssl.cnf',
  '/etc/pki/ca-trust/extracted',
  '/etc/ca-certificates/extracted',
  '/etc/ld.so.cache',
  '/etc/ld.so.conf',
];
const deviceNames = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];
const capSysAdmin = 21n;

// Looked at in this turn.
let isFresh = false;
let known:
  | { readonly host: Host; readonly ids: string; readonly uid: number | undefined; readonly changes: number; readonly process: string }
  | undefined;

/** This machine, and what this process may do on it; read again where its ids have changed, or {@link lookAgain} found that something else has. */
export function host(): Host {
  if (known && (isFresh || known.uid === process.geteuid?.())) return known.host;
  return remember(ownProcess());
}

/** The result of {@link lookAgain} in this turn, unless the user id or a namespace has changed since; else looks again. */
export const looked = (): Host =>
  isFresh && known?.uid === process.geteuid?.() && known?.changes === ownChanges() ? known.host : lookAgain();

/** To be called before something is set up: what this process is, and where, may have changed since. Looks once for all that is set up in one go. */
export function lookAgain(): Host {
  if (isFresh && known?.ids === ids() && known.changes === ownChanges()) return known.host;
  isFresh = true;
  queueMicrotask(() => {
    isFresh = false;
  });
  const now = ownProcess();
  return known?.process === now ? known.host : remember(now);
}

function remember(now: string): Host {
  const found = deepFreeze<Host>(read());
  known = { host: found, ids: ids(), uid: process.geteuid?.(), changes: ownChanges(), process: now };
  return found;
}

function read(): Host {
  return {
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    groups: process.getgroups?.() ?? [],
    cpus: cpus().length,
    privileged: isPrivileged(),
    system: [...systemNames, ...storeNames].flatMap(systemEntry),
    etc: [...etcNames.flatMap((name) => etcEntry(name)), ...runtimeFiles().flatMap((name) => etcEntry(name, true))],
    devices: deviceNames.filter((name) => exists(`/dev/${name}`)),
    node: nodeInstallation(),
    hardLimits: readHardLimits(),
    kernel: kernelVersion(release()),
    landlockAbi: readLandlockAbi(),
    subuids: readSubids('/etc/subuid', process.geteuid?.() ?? 0),
    subgids: readSubids('/etc/subgid', process.geteuid?.() ?? 0),
    idMapHelpers: { uid: findIdMapHelper('newuidmap'), gid: findIdMapHelper('newgidmap') },
    hasMqueue: exists('/proc/sys/fs/mqueue'),
    counts: readCounts(),
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

function etcEntry(target: string, isRuntime = false): Host['etc'] {
  const found = statSync(target, { throwIfNoEntry: false });
  return found ? [{ target, kind: found.isDirectory() ? 'dir' : 'file', isRuntime }] : [];
}

function systemEntry(target: string): readonly SystemEntry[] {
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (!found) return [];
  return [found.isSymbolicLink() ? { target, link: readlinkSync(target) } : { target }];
}

// Not the whole prefix: that may be somebody's home.
function nodeInstallation(): Host['node'] {
  const binary = realpathSync(process.execPath);
  if ([...systemNames, ...storeNames].some((name) => binary.startsWith(`${name}/`))) return [];
  const packages = `${dirname(dirname(binary))}/lib/node_modules`;
  return [{ target: binary, kind: 'file' } as const, ...(exists(packages) ? [{ target: packages, kind: 'dir' } as const] : [])];
}

const defaultTerminals = 3072;

function readCounts(): Counts {
  const folder = '/proc/sys/user';
  const names = exists(folder) ? readdirSync(folder) : [];
  const user = names.map((name) => [name, readNumber(`${folder}/${name}`)] as const);
  const terminals = (readNumber('/proc/sys/kernel/pty/max') ?? defaultTerminals) - (readNumber('/proc/sys/kernel/pty/reserve') ?? 0);
  const watches = readNumber('/proc/sys/fs/epoll/max_user_watches') ?? 0;
  return { user: Object.fromEntries(user.filter(([, count]) => count !== undefined)) as Record<string, number>, terminals, watches };
}

function readNumber(path: string): number | undefined {
  try {
    const number = Number(readFileSync(path, 'latin1'));
    return Number.isSafeInteger(number) ? number : undefined;
  } catch {
    return undefined;
  }
}

function kernelVersion(text: string): readonly [number, number] {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(text) ?? [];
  return [Number(major), Number(minor)];
}

function readLandlockAbi(): number {
  try {
    return landlockAbi();
  } catch {
    return 0;
  }
}
