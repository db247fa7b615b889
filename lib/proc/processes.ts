import { readdirSync, readlinkSync } from 'node:fs';
import { boundedText } from './bounded-text';
import { msPerTick, parseStat } from './stat';

const kilobyte = 1024;
const maxProcesses = 4096;

/** Usage of one process, read from /proc. */
interface Sample {
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly memory: number;
  readonly threads: number;
}

/** Total usage of the processes of one sandbox: CPU time in ms, memory in bytes, number of threads. */
export interface ProcessTotals {
  readonly cpu: { readonly usageMs: number; readonly userMs: number; readonly systemMs: number };
  readonly memory: { readonly usage: number };
  readonly pids: { readonly current: number };
}

/**
 * Adds up the usage of all processes of a sandbox without a cgroup: init and its descendants. Undefined if none can be
 * read.
 */
export function readProcesses(init: number): ProcessTotals | undefined {
  const samples = descendants(init).flatMap((pid) => readProcess(pid) ?? []);
  if (samples.length === 0) return undefined;
  const total = (pick: (sample: Sample) => number) => samples.reduce((sum, sample) => sum + pick(sample), 0);
  const userMs = total(({ userTicks }) => userTicks) * msPerTick;
  const systemMs = total(({ systemTicks }) => systemTicks) * msPerTick;
  return {
    cpu: { usageMs: userMs + systemMs, userMs, systemMs },
    memory: { usage: total(({ memory }) => memory) },
    pids: { current: total(({ threads }) => threads) },
  };
}

/** Resident memory of a process in bytes, without file pages. Memory shared with other processes counts in full. */
export const residentMemory = (pid: number): number => readProcess(pid)?.memory ?? 0;

/** Whether init or one of its descendants is running or runnable (state R). */
export const isRunning = (init: number): boolean =>
  descendants(init).some((pid) => parseStat(boundedText(`/proc/${pid}/stat`))?.state === 'R');

/** Returns the pids of a process and its current descendants. Incomplete if there are more than about 4096. */
export function descendants(pid: number): readonly number[] {
  const found = [pid];
  // The list grows during the loop. The bound prevents a program that forks from keeping this thread busy.
  for (let index = 0; index < found.length && index < maxProcesses; index++) found.push(...childrenOf(found[index] ?? 0));
  return found;
}

/**
 * Returns one pid for each network namespace of init and its descendants, except for this process's own network
 * namespace and those that the caller may not read.
 */
export function networksOf(init: number): readonly number[] {
  const own = networkOf('self');
  const found = new Map(descendants(init).map((pid) => [networkOf(pid), pid] as const));
  return [...found].filter(([network]) => network !== undefined && network !== own).map(([, pid]) => pid);
}

function networkOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

/** Returns the pids of the children of all threads of a process. */
export function childrenOf(pid: number): readonly number[] {
  return threadsOf(pid).flatMap((thread) => boundedText(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number));
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

// The CPU time includes that of children that have exited and been waited for.
function readProcess(pid: number): Sample | undefined {
  const stat = parseStat(boundedText(`/proc/${pid}/stat`));
  const status = boundedText(`/proc/${pid}/status`);
  if (stat === undefined || status === '') return undefined;
  const size = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  return {
    userTicks: stat.userTicks + stat.childUserTicks,
    systemTicks: stat.systemTicks + stat.childSystemTicks,
    memory: (size('RssAnon') + size('RssShmem')) * kilobyte,
    threads: size('Threads'),
  };
}
