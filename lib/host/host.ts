import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname } from 'node:path';
import { releaseKept } from '../base/kept';
import { asMicrotask } from '../base/microtask';
import { deepFreeze } from '../base/parse';
import { ownChanges } from '../sys/call';
import { landlockAbi } from '../sys/landlock';
import { ids, ownProcess, readHardLimits } from './own-process';
import { runtimeFiles } from './runtime-files';
import { findIdMapHelper, readSubids, type Subids } from './subids';

/** A directory or link of the host that a system root contains too. */
export interface SystemEntry {
  readonly target: string;
  /** Target of the link, if it is a symbolic link on the host. */
  readonly link?: string;
}

/**
 * Properties of the machine and of this process. Immutable; read again by {@link host} and {@link lookAgain} after a
 * change.
 */
export interface Host {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Number of CPUs. */
  readonly cpus: number;
  /**
   * Whether this process is root in the initial user namespace and has CAP_SYS_ADMIN, so that it can set up sandboxes
   * from outside.
   */
  readonly privileged: boolean;
  /** Directories and links with the system's programs and libraries. */
  readonly system: readonly SystemEntry[];
  /**
   * Entries of /etc, and with `isRuntime` also of /var, that programs need and that contain no data of the host's
   * users.
   */
  readonly etc: readonly { readonly target: string; readonly kind: 'dir' | 'file'; readonly isRuntime: boolean }[];
  /** The executable of the running Node and its global packages, if they are outside of the system directories. */
  readonly node: readonly { readonly target: string; readonly kind: 'dir' | 'file' }[];
  /** Hard limits of this process, by the names of getrlimit(2). Unlimited ones are omitted. */
  readonly hardLimits: Readonly<Record<string, number>>;
  readonly devices: readonly string[];
  /** Version of the kernel, for example [6, 18]. */
  readonly kernel: readonly [major: number, minor: number];
  /** ABI version of Landlock. 0 if it is not available. */
  readonly landlockAbi: number;
  /** Subordinate ids of an unprivileged caller, subuid(5). */
  readonly subuids: readonly Subids[];
  readonly subgids: readonly Subids[];
  /** Paths of newuidmap(1) and newgidmap(1), if they can be trusted. */
  readonly idMapHelpers: { readonly uid: string | undefined; readonly gid: string | undefined };
  /** Whether the kernel has POSIX message queues. */
  readonly hasMqueue: boolean;
  readonly counts: Counts;
}

/** Limits of the kernel on resources that it counts per user or for all users together. */
export interface Counts {
  /** Values of the files in /proc/sys/user, by name: limits per user in this user namespace. */
  readonly user: Readonly<Record<string, number>>;
  /** Pseudoterminals of all devpts(5) file systems together, except for the initial one. */
  readonly terminals: number;
  /** Watches of epoll(7) per user. */
  readonly watches: number;
}

const systemNames = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
/** Directories in which NixOS and Guix keep the whole system: the world-readable packages, and the active profile. */
const storeNames = ['/nix/store', '/gnu/store', '/run/current-system'];
// The directory of the certificates, besides /etc/ssl, depends on the distribution. Their parent directories are not
// listed, because they also contain private keys.
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

// Whether the host was checked in this turn of the event loop.
let isFresh = false;
let known:
  | { readonly host: Host; readonly ids: string; readonly uid: number | undefined; readonly changes: number; readonly process: string }
  | undefined;

/**
 * Returns the properties of the host. Reads them again if this process's user id has changed, or if {@link lookAgain}
 * found another change.
 */
export function host(): Host {
  if (known && (isFresh || known.uid === process.geteuid?.())) return known.host;
  return remember(ownProcess());
}

/**
 * Returns the result of {@link lookAgain} in this turn of the event loop. Calls it if there is none, or if the user id
 * or a namespace may have changed since.
 */
export const looked = (): Host =>
  isFresh && known?.uid === process.geteuid?.() && known?.changes === ownChanges() ? known.host : lookAgain();

/**
 * Returns the properties of the host, and reads them again if the state of this process has changed. Call it before
 * setting up a sandbox. It checks only once for all that is set up in the same turn of the event loop.
 */
export function lookAgain(): Host {
  if (isFresh && known?.ids === ids() && known.changes === ownChanges()) return known.host;
  isFresh = true;
  asMicrotask(() => {
    isFresh = false;
  });
  const now = ownProcess();
  if (known?.process === now) return known.host;
  return remember(now);
}

function remember(now: string): Host {
  if (known) releaseKept();
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

// Not the whole installation prefix, because that may be a home directory.
function nodeInstallation(): Host['node'] {
  const binary = realpathSync(process.execPath);
  if ([...systemNames, ...storeNames].some((name) => binary.startsWith(`${name}/`))) return [];
  const packages = `${dirname(dirname(binary))}/lib/node_modules`;
  return [{ target: binary, kind: 'file' } as const, ...(exists(packages) ? [{ target: packages, kind: 'dir' } as const] : [])];
}

const defaultTerminals = 3072;

function readCounts(): Counts {
  const directory = '/proc/sys/user';
  const names = exists(directory) ? readdirSync(directory) : [];
  const user = names.map((name) => [name, readNumber(`${directory}/${name}`)] as const);
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
