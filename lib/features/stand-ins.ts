import type { Scene } from './feature';
import { isHostUser } from './namespaces';
import type { Spec } from './spec';

/** Limits of each process that stand in for those of a cgroup, where there is none. */
export const standIns = (spec: Spec, { cgroups, hostId }: Pick<Scene, 'cgroups' | 'hostId'>): readonly ('data' | 'nproc')[] =>
  cgroups.version !== undefined
    ? []
    : [
        ...(spec.limits.memory === undefined ? [] : (['data'] as const)),
        ...(spec.limits.pids !== undefined && countsPids(spec, hostId) ? (['nproc'] as const) : []),
      ];

/** RLIMIT_NPROC counts by user: of a sandbox alone only where it has a user, or a user namespace, of its own. */
export const countsPids = (spec: Spec, hostId: number | undefined): boolean => hostId !== undefined || !isHostUser(spec);
