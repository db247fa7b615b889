import { parseInteger } from '../base/parse';
import { call } from './call';

/**
 * prctl(2) with the options of {@link PR}. Acts on the calling thread, but for PR_SET_DUMPABLE and PR_SET_CHILD_SUBREAPER,
 * which are the whole process's; Node's other threads keep what they have.
 * Throws SysError: EINVAL, EPERM.
 */
export function prctl(option: number, ...args: readonly (number | bigint)[]): number {
  return call('prctl', option, ...args);
}

/** Soft and hard limit; Infinity is RLIM_INFINITY. */
export interface ResourceLimit {
  readonly soft: number;
  readonly hard: number;
}

/** A limit of this process, getrlimit(2). Throws SysError: EINVAL. */
export function getrlimit(resource: number): ResourceLimit {
  return prlimit(0, resource);
}

/**
 * Reads a limit of a process (0: this one) and, with `limit`, sets it; returns what it was. prlimit(2), Linux 2.6.36.
 * Limits are the whole process's. Throws SysError: EPERM, EINVAL, ESRCH.
 */
export function prlimit(pid: number, resource: number, limit?: ResourceLimit): ResourceLimit {
  const before = new BigUint64Array(2);
  const after = limit && BigUint64Array.from([wide(limit.soft, 'limit.soft'), wide(limit.hard, 'limit.hard')]);
  call('prlimit64', pid, resource, after ?? null, before);
  return { soft: narrow(before[0]), hard: narrow(before[1]) };
}

const infinite = 0xffffffffffffffffn;
const wide = (value: number, at: string) => (value === Number.POSITIVE_INFINITY ? infinite : BigInt(parseInteger(value, at, 0)));
const narrow = (value = infinite) => (value === infinite ? Number.POSITIVE_INFINITY : Number(value));
