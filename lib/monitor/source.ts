import { bare } from '../base/parse';
import { parseNetDev } from '../cgroup/files';
import { foldersOf } from '../cgroup/layout';
import type { Scene } from '../features/feature';
import { childrenOf, isRunning, networksOf, readProcesses } from '../proc/processes';
import { GroupReader, KeptFiles } from './group-reader';
import { HeldMemory } from './held-memory';
import { machineHasGrown, socketMemoryOf } from './socket-memory';
import type { Stats } from './stats';

/** What groups count, and, where they don't count it all, the sum over the processes below `pid`; undefined if neither is there. */
export function withProcesses(
  counted: ReturnType<GroupReader['read']>,
  pid: number | undefined,
): Omit<Stats, 'time' | 'network'> | undefined {
  const { cpu, memory, pids } = bare({ ...counted });
  if (cpu && memory && pids) return { source: 'cgroup', ...counted, cpu, memory, pids };
  const summed = pid === undefined ? undefined : readProcesses(pid);
  return summed && { source: 'processes', ...summed, ...counted };
}

/** With what went out by name or address, where this process decides on that. */
export function withEgress(stats: Stats | undefined, network: { totals(): Stats['egress'] | undefined } | undefined): Stats | undefined {
  const egress = network?.totals();
  return stats && egress ? { ...stats, egress } : stats;
}

/** What is read of a {@link Scene}. */
interface Groups {
  readonly cgroups: Pick<Scene['cgroups'], 'version' | 'folders'>;
  readonly freezer?: Pick<NonNullable<Scene['freezer']>, 'version' | 'folder'>;
}

/** Where the numbers of one sandbox come from, for as long as it lives. */
export class StatsSource {
  private reader: GroupReader | undefined;
  private readonly kept = new KeptFiles();
  private readonly memory = new HeldMemory();
  private init: number | undefined;
  private looks = 0;

  /** `keeper`: pid of its launcher, whose only child is init. */
  constructor(
    private readonly scene: Groups,
    private readonly keeper: number,
    private readonly hasNetwork: boolean,
  ) {}

  // Of most runs nobody asks for numbers: they are not to wait for it.
  private get groups(): GroupReader | undefined {
    const { cgroups, freezer } = this.scene;
    const unified = freezer?.version === 2 ? freezer.folder : undefined;
    if (foldersOf(cgroups.folders).length > 0 || unified !== undefined) this.reader ??= new GroupReader(cgroups, unified);
    return this.reader;
  }

  /** Pid of init on this host; undefined before it is there, and after. */
  get initPid(): number | undefined {
    this.init ??= childrenOf(this.keeper)[0];
    return this.init;
  }

  /** Undefined once it is gone. `limits` are those in force now. */
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

  /** Bytes that its processes hold, as they were a moment ago; undefined until that is known. */
  held(): number | undefined {
    const init = this.initPid;
    return init === undefined ? 0 : this.memory.read(init);
  }

  /**
   * Bytes that its sockets can hold without being charged to its group, in its own network and, once the machine's have grown, in all that its
   * processes are in; those of a network that several sandboxes share count for each.
   */
  sockets(): number {
    const init = this.initPid;
    if (init === undefined) return 0;
    const hasGrown = machineHasGrown();
    // Of a thousand sandboxes each look counts.
    if (!hasGrown && ++this.looks % 2 === 0) return 0;
    const own = this.hasNetwork ? socketMemoryOf(init) : 0;
    if (!hasGrown) return own;
    const all = networksOf(init).reduce((sum, pid) => sum + socketMemoryOf(pid), 0);
    return Math.max(own, all);
  }

  /** Whether one of its processes runs, or would if it had a CPU. */
  runs(): boolean {
    const init = this.initPid;
    return init !== undefined && isRunning(init);
  }

  close(): void {
    this.reader?.close();
    this.kept.close();
  }
}
