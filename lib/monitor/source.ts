import { bare } from '../base/parse';
import { parseNetDev } from '../cgroup/files';
import { directoriesOf } from '../cgroup/layout';
import type { Context } from '../features/feature';
import { childrenOf, isRunning, networksOf, readProcesses } from '../proc/processes';
import { GroupReader, KeptFiles } from './group-reader';
import { HeldMemory } from './held-memory';
import { machineHasGrown, socketMemoryOf } from './socket-memory';
import type { Stats } from './stats';

/**
 * Returns the values counted by cgroups. If these are incomplete, the missing ones are sums over the processes below
 * `pid`; undefined if these processes are gone.
 */
export function withProcesses(
  counted: ReturnType<GroupReader['read']>,
  pid: number | undefined,
): Omit<Stats, 'time' | 'network'> | undefined {
  const { cpu, memory, pids } = bare({ ...counted });
  if (cpu && memory && pids) return { source: 'cgroup', ...counted, cpu, memory, pids };
  const summed = pid === undefined ? undefined : readProcesses(pid);
  return summed && { source: 'processes', ...summed, ...counted };
}

/** Adds the outgoing traffic by name or address, if this process decides on egress. */
export function withEgress(stats: Stats | undefined, network: { totals(): Stats['egress'] | undefined } | undefined): Stats | undefined {
  const egress = network?.totals();
  return stats && egress ? { ...stats, egress } : stats;
}

/** The part of a {@link Context} that is read. */
interface Groups {
  readonly cgroups: Pick<Context['cgroups'], 'version' | 'directories'>;
  readonly freezer?: Pick<NonNullable<Context['freezer']>, 'version' | 'directory'>;
}

/** Source of the statistics of one sandbox, for as long as it lives. */
export class StatsSource {
  private reader: GroupReader | undefined;
  private readonly kept = new KeptFiles();
  private readonly memory = new HeldMemory();
  private init: number | undefined;
  private looks = 0;

  /** `keeper`: pid of the keeper, whose only child is init. */
  constructor(
    private readonly context: Groups,
    private readonly keeper: number,
    private readonly hasNetwork: boolean,
  ) {}

  // Created on first use: the statistics of most runs are never read, so these runs should not wait for it.
  private get groups(): GroupReader | undefined {
    const { cgroups, freezer } = this.context;
    const unified = freezer?.version === 2 ? freezer.directory : undefined;
    if (directoriesOf(cgroups.directories).length > 0 || unified !== undefined) this.reader ??= new GroupReader(cgroups, unified);
    return this.reader;
  }

  /** Pid of init on this host. Undefined if it has not been found. */
  get initPid(): number | undefined {
    this.init ??= childrenOf(this.keeper)[0];
    return this.init;
  }

  /**
   * Reads the statistics. Returns undefined once the sandbox is gone. The argument holds the limits that are currently
   * in force.
   */
  read({ memory, pids }: { readonly memory?: number; readonly pids?: number }): Stats | undefined {
    const init = this.initPid;
    const { groups } = this;
    const counted = groups?.read();
    if (groups && !counted) return undefined;
    const found = withProcesses(counted, init);
    if (!found) return undefined;
    const network = this.hasNetwork && init !== undefined ? this.kept.read(`/proc/${init}/net/dev`) : undefined;
    return {
      time: Date.now(),
      ...found,
      memory: { ...found.memory, ...(memory === undefined ? {} : { limit: memory }) },
      pids: { ...found.pids, ...(pids === undefined ? {} : { limit: pids + 1 }) },
      ...(network === undefined ? {} : { network: parseNetDev(network) }),
    };
  }

  /** Bytes of memory that its processes held shortly before. Undefined until this is known. */
  held(): number | undefined {
    const init = this.initPid;
    return init === undefined ? 0 : this.memory.read(init);
  }

  /**
   * Bytes that its sockets can hold without being charged to its cgroup: those in its own network namespace and, once
   * the machine's socket memory has grown, those in all network namespaces of its processes. If several sandboxes share
   * a network namespace, its sockets count for each of them.
   */
  sockets(): number {
    const init = this.initPid;
    if (init === undefined) return 0;
    const hasGrown = machineHasGrown();
    // With a thousand sandboxes every check is expensive, so every second one is skipped.
    if (!hasGrown && ++this.looks % 2 === 0) return 0;
    const own = this.hasNetwork ? socketMemoryOf(init) : 0;
    if (!hasGrown) return own;
    const all = networksOf(init).reduce((sum, pid) => sum + socketMemoryOf(pid), 0);
    return Math.max(own, all);
  }

  /** Whether one of its processes is running or runnable. */
  runs(): boolean {
    const init = this.initPid;
    return init !== undefined && isRunning(init);
  }

  close(): void {
    this.reader?.close();
    this.kept.close();
  }
}
