import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers';
import { NsError, SysError } from '../base/errors';
import { bare } from '../base/parse';
import { type Controller, directoriesOf, type GroupDirectories } from '../cgroup/layout';
import type { LimitsSpec } from '../cgroup/limits';
import { controllersFor, onlyVersion2, settingsOf } from '../cgroup/settings';
import { writeSettings } from '../cgroup/write';
import { quotaFile } from '../features/cgroup';
import type { Context, ProgramGroup } from '../features/feature';
import { closedError } from '../launcher/session';
import { GroupReader } from '../monitor/group-reader';
import { members, openIfThere, passOn, removed } from '../setup/cgroup-directories';
import { resolve, version2Reason } from '../setup/choose-cgroup';
import { killEach } from './kill-each';

const retryMs = 5;
const tries = 200;
const usPerMs = 1000;
const nsPerMs = 1_000_000;

// Limits that work without any cgroup: memory by RLIMIT_DATA, CPU time by RLIMIT_CPU, both watched by this process as
// well.
const softLimits: readonly string[] = ['memory', 'swap', 'cpuWeight', 'cpuTime', 'wallTime', 'idle', 'fileSize', 'openFiles'];

/**
 * The cgroup of one program of a sandbox, below the sandbox's own cgroup. Its limits apply to all processes that the
 * program starts. With limits, the group and its processes end with the program.
 */
export class OwnGroup {
  readonly forPlan: ProgramGroup;
  private readonly reader: GroupReader;

  private constructor(
    private readonly directories: GroupDirectories,
    private readonly unified: string | undefined,
    version: 1 | 2 | undefined,
    hasQuota: boolean,
    /** The group has no limits; it only serves to find all processes that the program starts. */
    readonly isTree = false,
  ) {
    const all = this.all();
    const own = unified ?? directories.memory;
    const usage =
      unified !== undefined || version === 2
        ? join(own ?? '', 'cpu.stat')
        : directories.cpuacct && join(directories.cpuacct, 'cpuacct.usage');
    this.reader = new GroupReader({ version, directories }, unified);
    const opened: number[] = [];
    const open = (path: string, flags: string) => {
      const fd = openSync(path, flags);
      opened.push(fd);
      return fd;
    };
    try {
      // Without limits, init must not kill the group: processes that a program left running when it exited by itself go
      // on.
      const kill =
        !isTree && own !== undefined && (unified !== undefined || version === 2) ? openIfThere(join(own, 'cgroup.kill')) : undefined;
      if (kill !== undefined) opened.push(kill);
      this.forPlan = bare({
        entries: all.map((directory) => open(join(directory, version === 2 || directory === unified ? 'cgroup.procs' : 'tasks'), 'w')),
        ...(usage === undefined || isTree ? {} : { usageFd: open(usage, 'r') }),
        perMs: usage?.endsWith('cpuacct.usage') ? nsPerMs : usPerMs,
        ...(kill === undefined ? {} : { killFd: kill }),
        ...(hasQuota && version !== undefined && directories.cpu !== undefined
          ? { quotaFd: open(join(directories.cpu, quotaFile(version)), 'w') }
          : {}),
      });
    } catch (error) {
      for (const fd of opened) closeSync(fd);
      throw error;
    }
  }

  /**
   * Makes a group for `limits`, or, with `forTree`, a group that serves to find all processes that the program starts.
   * Returns undefined if no group is needed or none can be made. Throws NsError ERR_NSJS_UNSUPPORTED if a required
   * group cannot be made, and a SysError if the kernel refuses.
   */
  static make(context: Context, limits: LimitsSpec, id: number, forTree: boolean): OwnGroup | undefined {
    const { cgroups, freezer } = context;
    const wanted = controllersFor(limits);
    const timed = limits.cpuTime !== undefined || limits.idle !== undefined || limits.wallTime !== undefined;
    const isTree = wanted.length === 0 && !timed;
    if (isTree && !forTree) return undefined;
    refuseWhatCannotBeHeld(context, limits, wanted);
    const name = `p${id}`;
    const directories = OwnGroup.directoriesFor(cgroups, name, { wanted, timed, isTree });
    const all: GroupDirectories =
      cgroups.version === 2
        ? bare(Object.fromEntries(Object.keys(cgroups.directories).map((one) => [one, directories.memory])))
        : directories;
    const unified = freezer?.own && freezer.version === 2 ? join(freezer.directory, name) : undefined;
    if (directoriesOf(directories).length === 0 && unified === undefined) return undefined;
    const made: string[] = [];
    try {
      if (cgroups.version === 2) passOn(cgroups.directories.memory ?? '', Object.keys(cgroups.directories));
      for (const directory of [...directoriesOf(directories), ...(unified === undefined ? [] : [unified])]) {
        mkdirSync(directory);
        made.push(directory);
      }
      const { version } = cgroups;
      const held = version === undefined ? limits : resolve(limits, { version, parents: cgroups.directories });
      if (version !== undefined) writeSettings(settingsOf(held, { version, swapAccounting: cgroups.swapAccounting, ownProcesses: 0 }), all);
      return new OwnGroup(all, unified, version, limits.cpu !== undefined, isTree);
    } catch (error) {
      for (const directory of made) removed(directory);
      if ([...directoriesOf(cgroups.directories), ...(freezer ? [freezer.directory] : [])].some((directory) => !existsSync(directory)))
        throw closedError();
      throw asSysError(error);
    }
  }

  private static directoriesFor(
    { version, directories, limits }: Context['cgroups'],
    name: string,
    { wanted, timed, isTree }: { readonly wanted: readonly Controller[]; readonly timed: boolean; readonly isTree: boolean },
  ): GroupDirectories {
    const counted: readonly Controller[] = timed && directories.cpuacct !== undefined ? ['cpuacct'] : [];
    // Without cgroups for limits there may still be a group (`freezer`) that counts CPU time and kills.
    const there =
      version === undefined
        ? []
        : [...(isTree ? [] : ['memory', 'pids']), ...wanted, ...counted].filter((one): one is Controller => one in directories);
    const chosen = version === 2 ? (['memory'] as const) : there;
    const inParent = chosen.filter((one) => !(one === 'memory' && isWatched({ version, limits })));
    return bare(Object.fromEntries(inParent.map((one) => [one, join(directories[one] ?? '', name)])));
  }

  /** Whether the kernel counts this resource for the whole group. */
  counts(what: 'memory' | 'cpu'): boolean {
    return what === 'cpu' ? this.forPlan.usageFd !== undefined : this.directories.memory !== undefined;
  }

  /** Returns the current usage of the group, or undefined once it is gone. */
  stats() {
    return this.reader.read();
  }

  /** Number of the group's processes that the kernel has killed for lack of memory. */
  get oomKills(): number {
    return this.reader.read()?.memory?.oomKills ?? 0;
  }

  /** Closes the descriptors of the group, once the program has received them or was not started. */
  release(): void {
    const { entries, usageFd, killFd, quotaFd } = this.forPlan;
    for (const fd of [...entries, usageFd, killFd, quotaFd]) if (fd !== undefined) closeSync(fd);
  }

  /**
   * Kills the processes left in the group and removes it. A group that cannot be removed in time is removed with the
   * sandbox.
   */
  async remove(): Promise<void> {
    this.reader.close();
    for (let attempt = 0; attempt < tries; attempt++) {
      this.kill();
      const left = this.all().filter((directory) => !removed(directory));
      if (left.length === 0) return;
      await new Promise((done) => setTimeout(done, retryMs).unref());
    }
  }

  /** Removes the group if it is empty; otherwise it is removed with the sandbox. */
  leave(): void {
    this.reader.close();
    for (const directory of this.all()) removed(directory);
  }

  kill(): void {
    const [directory] = this.unified === undefined ? this.all() : [this.unified];
    if (directory === undefined) return;
    try {
      writeFileSync(join(directory, 'cgroup.kill'), '1');
    } catch {
      killEach(members(directory), () => members(directory));
    }
  }

  private all(): readonly string[] {
    return [...directoriesOf(this.directories), ...(this.unified === undefined ? [] : [this.unified])];
  }
}

/**
 * Throws NsError ERR_NSJS_UNSUPPORTED for the first of the given limits, which cgroups of version 1 cannot enforce.
 * Does nothing if there are none.
 */
export function refuse([name]: readonly (keyof LimitsSpec)[]): void {
  if (name !== undefined)
    throw new NsError('ERR_NSJS_UNSUPPORTED', `limits.${name}: ${version2Reason(name)}`, { hint: 'see `nsjs probe` for cgroup' });
}

const unsupported = (limits: LimitsSpec, missing: readonly Controller[]) => {
  const [name = 'memory'] = Object.keys(limits).filter((key) =>
    controllersFor({ cpu: 1, [key]: limits[key as keyof LimitsSpec] }).some((one) => missing.includes(one)),
  );
  return new NsError(
    'ERR_NSJS_UNSUPPORTED',
    `limits.${name}: the sandbox has no cgroup with the controllers that this limit needs (${missing.join(', ')})`,
    {
      hint: 'set the limit for the whole sandbox, or see `nsjs probe` for cgroup',
    },
  );
};

function asSysError(error: unknown): unknown {
  const { errno, syscall, path, code } = error as NodeJS.ErrnoException;
  if (error instanceof SysError || error instanceof NsError || errno === undefined || code === undefined) return error;
  return new SysError({ errno: -errno, syscall: syscall ?? 'open', origin: 'limits', path, hint: 'see cgroups(7)' });
}

// On version 1, a memory group of its own would count OOM kills apart from the group that the launcher watches.
const isWatched = ({ version, limits }: Pick<Context['cgroups'], 'version' | 'limits'>): boolean =>
  version === 1 && limits.oomGroup === true;

function refuseWhatCannotBeHeld({ cgroups }: Context, limits: LimitsSpec, wanted: readonly Controller[]): void {
  if (cgroups.version === 1) refuse(onlyVersion2(limits, true));
  const missing = wanted.filter((name) => cgroups.directories[name] === undefined);
  const softly = cgroups.version === undefined && Object.keys(limits).every((key) => softLimits.includes(key));
  if (missing.length > 0 && !softly) throw unsupported(limits, missing);
  if (isWatched(cgroups) && wanted.includes('memory'))
    throw new NsError(
      'ERR_NSJS_UNSUPPORTED',
      'limits.memory: in a sandbox with oomGroup, a memory limit for one program needs cgroups of version 2',
      {
        hint: 'set the limit for the whole sandbox, or open the sandbox without oomGroup',
      },
    );
}
