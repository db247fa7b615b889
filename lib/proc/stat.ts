import { readFileSync } from 'node:fs';

/** Fields of proc_pid_stat(5). Times are in clock ticks. */
export interface ProcessStat {
  readonly name: string;
  /** `R` running or runnable, `D` in uninterruptible sleep, `Z` zombie. */
  readonly state: string;
  readonly userTicks: number;
  readonly systemTicks: number;
  /** CPU time of children that have exited and been waited for. */
  readonly childUserTicks: number;
  readonly childSystemTicks: number;
  /** Time of its start since boot. */
  readonly startTicks: number;
}

/** Clock ticks take 10 ms: USER_HZ is 100 on every architecture that Node runs on. */
export const msPerTick = 10;

/**
 * Parses a process's stat file. Returns undefined for other text. The name may contain any character, so the other
 * fields are counted from the last closing parenthesis.
 */
export function parseStat(text: string): ProcessStat | undefined {
  const [start, end] = [text.indexOf('('), text.lastIndexOf(')')];
  const [state, ...rest] = text.slice(end + 2).split(' ');
  const number = (field: number) => Number(rest[field - 4]);
  if (start < 0 || end < start || !state || !(number(22) >= 0)) return undefined;
  return {
    name: text.slice(start + 1, end),
    state,
    userTicks: number(14),
    systemTicks: number(15),
    childUserTicks: number(16),
    childSystemTicks: number(17),
    startTicks: number(22),
  };
}

/**
 * Returns the start time of a process in clock ticks since boot. A pid can be reused, the pair of pid and start time
 * cannot. Throws if the process no longer exists.
 */
export const startedAt = (pid: number | string): number => parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.startTicks ?? 0;
