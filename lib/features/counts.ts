import type { Counts } from '../host/host';
import { noSlot } from '../plan/operation';
import type { Dropped, Step } from './feature';
import type { Spec } from './spec';

/**
 * Each sandbox gets 1/8 of what the kernel counts per user. Five sandboxes that exhaust their shares leave enough for
 * the user and for the share of a sixth sandbox.
 */
const sandboxes = 8;
/** Network namespaces use kernel memory that is not charged to any cgroup. */
const maxNestedNetworks = 64;

/** More inotify instances than any program uses. Each instance has a queue of its own. */
const mostInstances = 32;

/** Returns the part of a kernel count, or of one of the caller's limits, that one sandbox may use. */
export const shareOf = (count: number): number => Math.max(1, Math.floor(count / sandboxes));

/**
 * Returns the maximum number of terminals in one sandbox. The kernel's limit on the terminals of all containers applies
 * to all of them together, devpts(5).
 */
export const maxTerminals = ({ terminals }: Counts): number => shareOf(terminals);

/**
 * Limits the sandbox to its share of what the kernel counts for its user namespace and for all enclosing ones
 * (namespaces(7), user_namespaces(7)). When nsjs runs as root, the sandbox's own host id creates the enclosing
 * namespace, and everything is counted for that id.
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
 * Reports counts that have no limit per sandbox when an unprivileged user runs nsjs: epoll(7) watches, pages of pipes,
 * and keys. The kernel counts them together with those of the user's other programs. Only the number of descriptors and
 * processes bounds them. Nothing is reported if that bound does not exceed the sandbox's share.
 */
export function countsDropped({ limits, rlimits, user }: Spec, counts: Counts, isRoot: boolean): readonly Dropped[] {
  if (isRoot || user.ids === 'range') return [];
  const files = limits.openFiles ?? rlimits.nofile?.hard ?? defaultFiles;
  // A watch persists after its descriptor is closed, as long as the file is open elsewhere. The bound is therefore the
  // product of epoll sets, files and descriptor numbers.
  const watches = limits.pids === undefined ? Number.POSITIVE_INFINITY : ((limits.pids * files) / 2) ** 2 * files;
  if (watches <= shareOf(counts.watches)) return [];
  return [
    {
      control: 'limits.openFiles',
      reason: `when an unprivileged user runs nsjs, the kernel counts epoll watches, pages of pipes and keys together with those of the user's other programs: one sandbox can use up all ${counts.watches} epoll watches`,
      fix: "run nsjs as root, or set user: { ids: 'range' }, so that they are counted for an id of the sandbox alone; or lower limits.openFiles and limits.pids",
    },
  ];
}
