import { deepFreeze } from '../base/parse';

/** One parsed entry of `limits.io`, in bytes and operations per second. */
export interface IoLimitSpec {
  readonly device: string;
  readonly readBytes?: number;
  readonly writeBytes?: number;
  readonly readOperations?: number;
  readonly writeOperations?: number;
}

/** Parsed limits, in bytes, milliseconds and numbers of CPUs. See the options of the same names for their meaning. */
export interface LimitsSpec {
  readonly memory?: number;
  readonly memoryHigh?: number;
  readonly memoryLow?: number;
  readonly swap?: number;
  readonly oomGroup?: boolean;
  readonly pids?: number;
  readonly cpu?: number;
  readonly cpuPeriod?: number;
  readonly cpuBurst?: number;
  readonly cpuWeight?: number;
  readonly cpus?: string;
  readonly memoryNodes?: string;
  readonly io?: readonly IoLimitSpec[];
  readonly ioWeight?: number;
  readonly hugetlb?: Readonly<Record<string, number>>;
  readonly unified?: Readonly<Record<string, string>>;
  readonly cpuTime?: number;
  readonly wallTime?: number;
  readonly idle?: number;
  readonly fileSize?: number;
  readonly openFiles?: number;
}

/** No limits. */
export const noLimits: LimitsSpec = deepFreeze({});
