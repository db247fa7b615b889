import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { bare } from '../base/parse';
import { failures, parseIo, parseKeyed, parsePressure } from '../cgroup/files';
import type { GroupDirectories } from '../cgroup/layout';
import type { Stats } from './stats';

const buffer = Buffer.allocUnsafeSlow(16_384);

/** Reads files repeatedly through descriptors that stay open. This is five times as fast as opening them each time. */
export class KeptFiles {
  private readonly fds = new Map<string, number>();

  /** Returns the text of a file, or undefined if the file does not exist or has been removed. */
  read(path: string | undefined): string | undefined {
    if (path === undefined) return undefined;
    try {
      let fd = this.fds.get(path);
      if (fd === -1) return undefined;
      if (fd === undefined) {
        fd = openSync(path, 'r');
        this.fds.set(path, fd);
      }
      return buffer.toString('latin1', 0, readSync(fd, buffer, 0, buffer.length, 0));
    } catch (error) {
      // Other errors, such as too few descriptors, may be temporary.
      if (!this.fds.has(path) && (error as NodeJS.ErrnoException).code === 'ENOENT') this.fds.set(path, -1);
      return undefined;
    }
  }

  number(path: string | undefined): number | undefined {
    const text = this.read(path);
    return text === undefined ? undefined : Number(text);
  }

  close(): void {
    for (const fd of this.fds.values()) if (fd >= 0) closeSync(fd);
    this.fds.clear();
  }
}

type Files = Readonly<Partial<Record<string, string>>>;

const nsPerMs = 1_000_000;
const usPerMs = 1000;

/** Reads the statistics of one sandbox from its cgroups. `unified`: a version 2 cgroup beside those of version 1. */
export class GroupReader {
  private readonly kept = new KeptFiles();
  private readonly files: Files;

  constructor(
    private readonly cgroups: { readonly version: 1 | 2 | undefined; readonly directories: GroupDirectories },
    unified: string | undefined,
  ) {
    this.files = bare(cgroups.version === 2 ? files2(cgroups.directories.memory ?? '') : files1(cgroups.directories, unified));
  }

  /** Returns the values that its cgroups count, or undefined once the cgroups are gone. */
  read(): Partial<Pick<Stats, 'cpu' | 'memory' | 'pids' | 'io' | 'pressure'>> | undefined {
    const { kept, files } = this;
    const [cpu, memory, pids] = [this.cpu(), this.memory(), this.pids()];
    if (!cpu && !memory && !pids) return undefined;
    const io = kept.read(files.io);
    return {
      ...known('cpu', cpu),
      ...known('memory', memory),
      ...known('pids', pids),
      ...known('io', io === undefined ? undefined : parseIo(io)),
      ...known('pressure', this.pressure()),
    };
  }

  close(): void {
    this.kept.close();
  }

  private pids(): Stats['pids'] | undefined {
    const { kept, files } = this;
    const current = kept.number(files.pids);
    if (current === undefined) return undefined;
    return {
      current,
      ...known('peak', kept.number(files.pidsPeak)),
      ...known('refused', parseKeyed(kept.read(files.pidsEvents) ?? '').get('max')),
    };
  }

  private cpu(): Stats['cpu'] | undefined {
    const { kept, files } = this;
    const stat = parseKeyed(kept.read(files.cpu) ?? '');
    const throttling = files.throttling === files.cpu ? stat : parseKeyed(kept.read(files.throttling) ?? '');
    const inMs = (name: string) => divided(stat.get(name), usPerMs);
    const usage = inMs('usage_usec') ?? divided(kept.number(files.cpuacct), nsPerMs);
    if (usage === undefined) return undefined;
    const waited = divided(throttling.get('throttled_usec'), usPerMs) ?? divided(throttling.get('throttled_time'), nsPerMs);
    return {
      usageMs: usage,
      ...known('userMs', inMs('user_usec')),
      ...known('systemMs', inMs('system_usec')),
      ...known('throttledPeriods', throttling.get('nr_throttled')),
      ...known('throttledMs', waited),
    };
  }

  private memory(): Stats['memory'] | undefined {
    const { kept, files } = this;
    const usage = kept.number(files.memory);
    if (usage === undefined) return undefined;
    const stat = parseKeyed(kept.read(files.memoryStat) ?? '');
    const events = parseKeyed(kept.read(files.memoryEvents) ?? '');
    const isV2 = this.cgroups.version === 2;
    const inactive = stat.get(isV2 ? 'inactive_file' : 'total_inactive_file') ?? 0;
    return {
      usage,
      ...known('peak', kept.number(files.memoryPeak)),
      workingSet: Math.max(0, usage - inactive),
      ...known('anon', stat.get(isV2 ? 'anon' : 'total_rss')),
      ...known('file', stat.get(isV2 ? 'file' : 'total_cache')),
      ...known('high', events.get('high')),
      ...known(
        'max',
        events.get('max') ?? failures(kept.number(files.memoryFailures), kept.number(files.swapFailures), events.get('oom_kill')),
      ),
      ...known('oomKills', events.get('oom_kill')),
      ...known('majorFaults', stat.get(isV2 ? 'pgmajfault' : 'total_pgmajfault')),
    };
  }

  private pressure(): Stats['pressure'] {
    const found = (['cpu', 'memory', 'io'] as const).flatMap((name) => {
      const text = this.kept.read(this.files[`${name}Pressure`]);
      return text === undefined ? [] : [[name, parsePressure(text)] as const];
    });
    return found.length === 0 ? undefined : Object.fromEntries(found);
  }
}

const known = <K extends string, V>(key: K, value: V | undefined) => (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
const divided = (value: number | undefined, by: number): number | undefined => (value === undefined ? undefined : value / by);

const pressureFiles = (directory: string): Files => ({
  cpuPressure: join(directory, 'cpu.pressure'),
  memoryPressure: join(directory, 'memory.pressure'),
  ioPressure: join(directory, 'io.pressure'),
});

const pidsFiles = (directory: string): Files => ({
  pids: join(directory, 'pids.current'),
  pidsEvents: join(directory, 'pids.events'),
  pidsPeak: join(directory, 'pids.peak'),
});

const memoryFiles1 = (directory: string): Files => ({
  memory: join(directory, 'memory.usage_in_bytes'),
  memoryStat: join(directory, 'memory.stat'),
  memoryEvents: join(directory, 'memory.oom_control'),
  memoryPeak: join(directory, 'memory.max_usage_in_bytes'),
  memoryFailures: join(directory, 'memory.failcnt'),
  swapFailures: join(directory, 'memory.memsw.failcnt'),
});

function files2(directory: string): Files {
  const at = (name: string) => join(directory, name);
  return {
    cpu: at('cpu.stat'),
    throttling: at('cpu.stat'),
    memory: at('memory.current'),
    memoryStat: at('memory.stat'),
    memoryEvents: at('memory.events'),
    memoryPeak: at('memory.peak'),
    ...pidsFiles(directory),
    io: at('io.stat'),
    ...pressureFiles(directory),
  };
}

function files1({ memory, pids, cpu, cpuacct, io }: GroupDirectories, unified: string | undefined): Files {
  return {
    ...(unified === undefined ? {} : { cpu: join(unified, 'cpu.stat'), ...pressureFiles(unified) }),
    ...(cpu === undefined ? {} : { throttling: join(cpu, 'cpu.stat') }),
    ...(cpuacct === undefined ? {} : { cpuacct: join(cpuacct, 'cpuacct.usage') }),
    ...(memory === undefined ? {} : memoryFiles1(memory)),
    ...(pids === undefined ? {} : pidsFiles(pids)),
    ...(io === undefined ? {} : { io: join(io, 'blkio.throttle.io_service_bytes_recursive') }),
  };
}
