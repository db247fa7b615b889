import { join } from 'node:path';
import { pathDirectory } from '../native/open-flags';
import { noSlot } from '../plan/operation';
import type { PlanWriter } from '../plan/writer';
import type { Context, Step } from './feature';

const writeOnly = 1;

/**
 * Creates the cgroup that pause() freezes and that counts CPU time, if the cgroup of the limits cannot do this. It is
 * created before the sandbox and removed after it.
 */
export const freezer: Step = {
  emit(plan, _spec, { freezer: group }) {
    if (group?.own) plan.marked('cgroup', () => emitFreezer(plan, group));
  },
};

function emitFreezer(plan: PlanWriter, { directory, version }: NonNullable<Context['freezer']>): void {
  plan.op('host', 'cgroup.freezer', 'MakeDir', noSlot, directory, 0o755);
  if (version === 2) {
    plan.cgroup = plan.slot('cgroup');
    plan.op('host', 'cgroup.freezer', 'Open', plan.cgroup, noSlot, directory, pathDirectory);
  } else {
    const tasks = plan.shared('cgroup freezer', () => plan.slot('cgroup'));
    plan.op('host', 'cgroup.freezer', 'Open', tasks, noSlot, join(directory, 'tasks'), writeOnly);
    // Processes that a version 1 freezer has frozen cannot be killed.
    for (const section of ['end', 'after'] as const) {
      plan.optional(section, () => plan.op(section, 'cgroup.freezer', 'WriteFile', noSlot, join(directory, 'freezer.state'), 'THAWED'));
    }
  }
  if (version === 2) plan.optional('after', () => plan.op('after', 'cgroup.freezer', 'ReadFile', join(directory, 'cpu.stat')));
  plan.op('after', 'cgroup.freezer', 'RemoveDir', directory);
}

/** Init enters a version 1 cgroup itself. With version 2 it is cloned into the cgroup. */
export const joinFreezer: Step = {
  emit(plan, _spec, { freezer: group }) {
    if (group?.own && group.version === 1) plan.op('inside', 'cgroup.freezer', 'WriteFd', plan.known('cgroup freezer') ?? noSlot, '0');
  },
};
