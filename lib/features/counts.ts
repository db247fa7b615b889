import type { Counts } from '../host/host';
import { noSlot } from '../plan/operation';
import type { Dropped, Step } from './feature';
import type { Spec } from './spec';

/** Of what the kernel counts by user, so much is one sandbox's: five that take all they can leave the user and a sixth one theirs. */
const sandboxes = 8;
/** Network namespaces hold kernel memory that no cgroup is charged for. */
const maxNestedNetworks = 64;

/** More inotify instances than any program has, each with a queue of its own. */
const mostInstances = 32;

/** The part of a count, or of a limit of the caller's, that one sandbox may have. */
export const shareOf = (count: number): number => Math.max(1, Math.floor(count / sandboxes));

/** Terminals of one sandbox: what the kernel leaves to those of containers it counts for all of them together, devpts(5). */
export const maxTerminals = ({ terminals }: Counts): number => shareOf(terminals);

/**
 * Shares of what the kernel counts for the user namespace and for all those around it (namespaces(7), user_namespaces(7)). Run by root, the
 * namespace around is made by the sandbox's own host id, and all of it is counted for that.
 */
export const countShares: Step = {
  emit(plan, { namespaces, nestedUserNamespaces }, { host: { counts }, hostId }) {
    if (!namespaces.user) return;
    const limit = (name: string, count: number) =>
      plan.optional('inside', () => plan.op('inside', `user.${name}`, 'WriteFile', noSlot, `/proc/sys/user/${name}`, `${count}`));
    const isCounted = (name: string) => nestedUserNamespaces || name.startsWith('max_inotify');
    for (const [name, count] of Object.entries(counts.user)) {
      if (nestedUserNamespaces && name === 'max_net_namespaces') limit(name, Math.min(maxNestedNetworks, shareOf(count)));
      else if (name === 'max_inotify_instances') limit(name, Math.min(mostInstances, shareOf(count)));
      else if (hostId === undefined && isCounted(name)) limit(name, shareOf(count));
    }
  },
};

const defaultFiles = 1024;

/**
 * Reports what has no limit for one sandbox that a user runs: watches of epoll(7), pages of pipes and keys. The kernel counts them together
 * with those of the user's other programs. Only the number of descriptors and processes bounds them; nothing is reported where that bound is
 * below a share.
 */
export function countsDropped({ limits, rlimits, user }: Spec, counts: Counts, isRoot: boolean): readonly Dropped[] {
  if (isRoot || user.ids === 'range') return [];
  const files = limits.openFiles ?? rlimits.nofile?.hard ?? defaultFiles;
  // A watch stays when its descriptor is closed, as long as the file is open elsewhere: sets, files and numbers multiply.
  const watches = limits.pids === undefined ? Number.POSITIVE_INFINITY : ((limits.pids * files) / 2) ** 2 * files;
  if (watches <= shareOf(counts.watches)) return [];
  return [
    {
      control: 'limits.openFiles',
      reason: `run by a user, watches of epoll, pages of pipes and keys are counted together with those of the user's other programs: one sandbox can take all of the ${counts.watches} watches there are`,
      fix: "run it as root or with user: { ids: 'range' }, so that they are counted for its own id, or lower limits.openFiles and limits.pids",
    },
  ];
}
