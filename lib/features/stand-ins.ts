import type { Context } from './feature';
import { isHostUser } from './namespaces';
import type { Spec } from './spec';

/** Returns the per-process limits that stand in for cgroup limits where there is no cgroup. */
export const standIns = (spec: Spec, { cgroups, hostId }: Pick<Context, 'cgroups' | 'hostId'>): readonly ('data' | 'nproc')[] =>
  cgroups.version !== undefined
    ? []
    : [
        ...(spec.limits.memory === undefined ? [] : (['data'] as const)),
        ...(spec.limits.pids !== undefined && countsPids(spec, hostId) ? (['nproc'] as const) : []),
      ];

/**
 * Returns whether RLIMIT_NPROC counts only the sandbox's processes. It counts by user, so the sandbox needs a user id
 * or a user namespace of its own.
 */
export const countsPids = (spec: Spec, hostId: number | undefined): boolean => hostId !== undefined || !isHostUser(spec);
