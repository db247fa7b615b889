import { parseInteger } from '../base/parse';
import { call } from './call';

/**
 * Calls prctl(2) with an option of {@link PR}. Acts on the calling thread, and Node's other threads keep their state.
 * PR_SET_DUMPABLE and PR_SET_CHILD_SUBREAPER are exceptions: they act on the whole process. Throws SysError: EINVAL,
 * EPERM.
 */
export function prctl(option: number, ...args: readonly (number | bigint)[]): number {
  return call('prctl', option, ...args);
}

/** Soft and hard limit. Infinity is RLIM_INFINITY. */
export interface ResourceLimit {
  readonly soft: number;
  readonly hard: number;
}

/** Returns a resource limit of this process, getrlimit(2). Throws SysError: EINVAL. */
export function getrlimit(resource: number): ResourceLimit {
  return prlimit(0, resource);
}

/**
 * Returns a resource limit of a process (0: this one), and sets a new one if `limit` is given, prlimit(2), Linux
 * 2.6.36. Limits apply to the whole process. Throws SysError: EPERM, EINVAL, ESRCH.
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
