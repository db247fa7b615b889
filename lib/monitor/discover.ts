import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { bare } from '../base/parse';
import { directoryOf, type Hierarchies, parseMemberships, readHierarchies } from '../cgroup/hierarchies';
import { controllers, type GroupDirectories } from '../cgroup/layout';
import { groupOwner } from '../cgroup/sweep';
import { boundedText } from '../proc/bounded-text';
import { childrenOf } from '../proc/processes';
import { msPerTick, parseStat } from '../proc/stat';
import { StatsSource } from './source';
import type { Stats } from './stats';

/** A sandbox of any process on this machine. */
export interface FoundSandbox {
  /** Name of its cgroups. Without cgroups, `nsjs-` and the pid of its keeper. */
  readonly id: string;
  /** Pids of its keeper, of its init, and of the process that launched it (1 if that process has died). */
  readonly launcher: number;
  readonly init: number;
  readonly owner: number;
  readonly uid: number;
  /** Time at which it was opened, in ms since the epoch. */
  readonly openedAt: number;
  /** Command lines of the programs in it, separated by commas. Empty if none runs. */
  readonly command: string;
}

/** Returns every sandbox that the caller can see, oldest first. */
export function findSandboxes(): readonly FoundSandbox[] {
  const numbers = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return numbers
    .flatMap((name) => describe(Number(name)) ?? [])
    .sort((one, other) => one.openedAt - other.openedAt || one.launcher - other.launcher);
}

const launcherName = 'nsjs\0';
const isLauncher = (pid: number): boolean => boundedText(`/proc/${pid}/cmdline`) === launcherName;

// The launched process is the keeper. Its only child has the same name and is init.
function describe(launcher: number): FoundSandbox | undefined {
  if (!isLauncher(launcher)) return undefined;
  const [init] = childrenOf(launcher);
  if (init === undefined || !isLauncher(init)) return undefined;
  const owner = Number(/^PPid:\s*(\d+)/m.exec(boundedText(`/proc/${launcher}/status`))?.[1] ?? 1);
  const found = statSync(`/proc/${launcher}`, { throwIfNoEntry: false });
  if (!found) return undefined;
  const programs = childrenOf(init).map((pid) => boundedText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim());
  return {
    id: basename(ownGroup(boundedText(`/proc/${init}/cgroup`)) ?? `nsjs-${launcher}`),
    launcher,
    init,
    owner,
    uid: found.uid,
    openedAt: startOf(launcher),
    command: programs.join(', '),
  };
}

let bootedAt: number | undefined;

function startOf(pid: number): number {
  bootedAt ??= Number(/^btime (\d+)$/m.exec(boundedText('/proc/stat'))?.[1] ?? 0) * 1000;
  return bootedAt + (parseStat(boundedText(`/proc/${pid}/stat`))?.startTicks ?? 0) * msPerTick;
}

/** Returns the path of the cgroup that is named after the sandbox. Init's own cgroup may be a leaf of it. */
function sandboxPath(path: string): string | undefined {
  return [path, dirname(path)].find((one) => groupOwner(basename(one)));
}

const ownGroup = (text: string): string | undefined =>
  parseMemberships(text)
    .map(({ path }) => sandboxPath(path))
    .find((path) => path !== undefined);

/** Reads the statistics of a sandbox returned by {@link findSandboxes}, as long as it runs. */
export class FoundSource {
  private readonly source: StatsSource;
  private readonly limits: { readonly memory?: string; readonly pids?: string };

  constructor({ launcher, init }: FoundSandbox, hierarchies: Hierarchies = readHierarchies()) {
    const { version, directories, unified } = groupsOf(boundedText(`/proc/${init}/cgroup`), hierarchies);
    const freezer = unified === undefined ? {} : { freezer: bare({ version: 2, directory: unified } as const) };
    this.source = new StatsSource(bare({ cgroups: bare({ version, directories }), ...freezer }), launcher, hasNetwork(init));
    this.limits = bare({
      ...(directories.memory === undefined
        ? {}
        : { memory: `${directories.memory}/${version === 2 ? 'memory.max' : 'memory.limit_in_bytes'}` }),
      ...(directories.pids === undefined ? {} : { pids: `${directories.pids}/pids.max` }),
    });
  }

  read(): Stats | undefined {
    const { memory, pids } = this.limits;
    const [most, processes] = [limitOf(memory), limitOf(pids)];
    // The kernel counts init as one of the processes; the option `pids` does not.
    return this.source.read(
      bare({ ...(most === undefined ? {} : { memory: most }), ...(processes === undefined ? {} : { pids: processes - 1 }) }),
    );
  }

  close(): void {
    this.source.close();
  }
}

const unlimited = 2 ** 62; // cgroups version 1 reports "no limit" as a value slightly below 2^63

function limitOf(path: string | undefined): number | undefined {
  const value = path === undefined ? Number.NaN : Number.parseInt(boundedText(path), 10);
  return Number.isNaN(value) || value >= unlimited ? undefined : value;
}

const nameIn1 = { io: 'blkio' } as Readonly<Record<string, string>>;

interface FoundGroups {
  readonly version: 1 | 2 | undefined;
  readonly directories: GroupDirectories;
  readonly unified?: string;
}

function groupsOf(text: string, { mounts }: Hierarchies): FoundGroups {
  const memberships = parseMemberships(text);
  const own = (names: readonly string[], mount: Hierarchies['mounts'][number] | undefined): string | undefined => {
    const path = memberships.find((one) =>
      names.length === 0 ? one.controllers.length === 0 : one.controllers.includes(names[0] ?? ''),
    )?.path;
    const group = path === undefined ? undefined : sandboxPath(path);
    return group === undefined || !mount ? undefined : directoryOf(mount, group);
  };
  const unified = own(
    [],
    mounts.find(({ version }) => version === 2),
  );
  const found = controllers.flatMap((name) => {
    const inKernel = nameIn1[name] ?? name;
    const directory = own(
      [inKernel],
      mounts.find(({ version, options }) => version === 1 && options.includes(inKernel)),
    );
    return directory === undefined ? [] : [[name, directory] as const];
  });
  if (found.length > 0)
    return bare({ version: 1, directories: bare(Object.fromEntries(found)), ...(unified === undefined ? {} : { unified }) });
  if (unified === undefined) return bare({ version: undefined, directories: bare({}) });
  const there = boundedText(`${unified}/cgroup.controllers`).split(/\s+/);
  const directories = Object.fromEntries(controllers.filter((name) => there.includes(name)).map((name) => [name, unified]));
  return Object.hasOwn(directories, 'memory')
    ? bare({ version: 2, directories: bare(directories) })
    : bare({ version: undefined, directories: bare({}), unified });
}

// The namespace of another user's process cannot be read. The contents of net/dev are compared instead; if they cannot
// be read either, init is assumed to have a network namespace of its own, which is the default.
function hasNetwork(init: number): boolean {
  try {
    return readlinkSync(`/proc/${init}/ns/net`) !== readlinkSync('/proc/self/ns/net');
  } catch {
    return boundedText(`/proc/${init}/net/dev`) !== readFileSync('/proc/self/net/dev', 'latin1');
  }
}
