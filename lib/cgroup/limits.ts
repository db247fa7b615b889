import { deepFreeze } from '../base/parse';

/** One entry of `limits.io`, read: bytes and operations in a second. */
export interface IoLimitSpec {
  readonly device: string;
  readonly readBytes?: number;
  readonly writeBytes?: number;
  readonly readOperations?: number;
  readonly writeOperations?: number;
}

/** Limits as they were read; see the options of that name for what they mean. Bytes, ms, and numbers of CPUs. */
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

/** What has no limits of its own. */
export const noLimits: LimitsSpec = deepFreeze({});
