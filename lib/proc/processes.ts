import { readdirSync, readlinkSync } from 'node:fs';
import { boundedText } from './bounded-text';

const msPerTick = 10; // USER_HZ is 100 on every architecture that Node runs on
const kilobyte = 1024;
const maxProcesses = 4096;

/** A process as /proc shows it. */
interface Sample {
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly memory: number;
  readonly threads: number;
}

/** What the processes of one sandbox use together: CPU time in ms, memory in bytes, processes and threads. */
export interface ProcessTotals {
  readonly cpu: { readonly usageMs: number; readonly userMs: number; readonly systemMs: number };
  readonly memory: { readonly usage: number };
  readonly pids: { readonly current: number };
}

/** The sum over the processes of one sandbox, where it has no cgroup: all that descend from init. */
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

/** Bytes of one process in memory; what it shares with others is counted whole. */
export const residentMemory = (pid: number): number => readProcess(pid)?.memory ?? 0;

/** Whether one of them runs, or would if it had a CPU. */
export const isRunning = (init: number): boolean => descendants(init).some((pid) => /\) R /.test(boundedText(`/proc/${pid}/stat`)));

/** The process and those below it, as they are now; of some thousands not all. */
export function descendants(pid: number): readonly number[] {
  const found = [pid];
  // Grows while it is walked; what a program starts must not keep this thread busy.
  for (let index = 0; index < found.length && index < maxProcesses; index++) found.push(...childrenOf(found[index] ?? 0));
  return found;
}

/** Of each network namespace that init or processes below it are in, but this process's own, one process; of those that may be looked at. */
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

/** Children of every thread of a process. */
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

// What has ended and was waited for counts as its parent's.
function readProcess(pid: number): Sample | undefined {
  const stat = boundedText(`/proc/${pid}/stat`);
  const status = boundedText(`/proc/${pid}/status`);
  if (stat === '' || status === '') return undefined;
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15);
  const size = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  return {
    userTicks: user + childUser,
    systemTicks: system + childSystem,
    memory: (size('RssAnon') + size('RssShmem')) * kilobyte,
    threads: size('Threads'),
  };
}
