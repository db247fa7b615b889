import { noSlot, type Slot } from '../plan/operation';
import type { PlanWriter } from '../plan/writer';
import type { Program, Step } from './feature';
import { callNumber } from './hardening';
import { isBeside, isNetBeside } from './network-kind';
import type { Spec } from './spec';

const readWrite = 2;
const nullDevice = '/dev/null';

/** Forks the first program's process early, so that its own set-up runs in parallel with init. */
export const startBeside: Step = {
  emit(plan, spec, context) {
    if (isBeside(spec, context)) plan.op('inside', 'command', 'StartProgram', 1, isNetBeside(spec, context) ? 1 : 0, 0);
  },
};

/**
 * Releases the program's process when init has done its part. If that process has created a network namespace, init
 * joins it.
 */
export const releaseProgram: Step = {
  emit(plan, spec, context) {
    if (isBeside(spec, context)) plan.op('inside', 'command', 'ReleaseProgram');
  },
};

/** Starts a program in a sandbox that already exists, or in one whose set-up has just been finished. */
export const startLater: Step = {
  scope: 'program',
  emit(plan, spec, context) {
    if (!isBeside(spec, context)) plan.op('inside', 'command', 'StartProgram', 0, 0, context.parked ? 1 : 0);
  },
};

const setChildSubreaper = 36; // PR_SET_CHILD_SUBREAPER

/**
 * Makes the program a subreaper: its orphans become its children, so that they are found by descent. execve(2)
 * preserves the attribute.
 */
export const adoptOrphans: Step = {
  scope: 'program',
  emit(plan, _spec, { adopts }) {
    if (adopts) plan.op('program', 'killTree', 'Call', callNumber('prctl'), setChildSubreaper, 1, 0, 0, 0);
  },
};

/** Sets up the program's descriptors: exactly the requested ones, at their numbers. All others are closed on exec. */
export const descriptors: Step = {
  scope: 'program',
  emit(plan, _spec, { program }) {
    const slots = program.stdio.map((entry) =>
      typeof entry === 'number' ? plan.pass('stdio', entry) : own(plan, entry === 'pty' ? 'pty' : nullDevice),
    );
    plan.stdio = slots;
    for (const [number, slot] of slots.entries()) plan.op('program', `stdio[${number}]`, 'Dup', slot, number);
    plan.op('program', 'stdio', 'CloseFrom', slots.length);
  },
};

const own = (plan: PlanWriter, key: string): Slot => plan.known(key) ?? plan.shared(key, () => plan.slot('stdio'));

// The sandbox's own device is preferred, so that /proc/self/fd/0 refers to a path that exists inside.
const hasOwnNull = ({ root, mounts }: Spec) =>
  root === 'system' || root === 'host' || mounts.some(({ type, target }) => type === 'dev' && target === '/dev');

/** Opens the host's /dev/null before the host's root is detached, for a root without /dev. */
export const openHostNull: Step = {
  emit(plan, spec, { kind, program }) {
    if (hasOwnNull(spec) || (kind === 'run' && !program.stdio.includes('ignore'))) return;
    const slot = plan.shared(nullDevice, () => plan.slot('stdio'));
    plan.op('inside', 'stdio', 'Open', slot, noSlot, nullDevice, readWrite);
    if (kind === 'sandbox') plan.op('inside', 'stdio', 'Hold', slot);
  },
};

/** Opens the sandbox's /dev/null when the root is in place. */
export const openOwnNull: Step = {
  scope: 'program',
  emit(plan, spec, { program }) {
    if (!hasOwnNull(spec) || !program.stdio.includes('ignore')) return;
    plan.op(
      'program',
      'stdio',
      'Open',
      plan.shared(nullDevice, () => plan.slot('stdio')),
      noSlot,
      nullDevice,
      readWrite,
    );
  },
};

export const exec: Step = {
  scope: 'program',
  emit(plan, _spec, { program }) {
    for (const { attempt, op } of program.attempts ?? []) {
      const [name, ...args] = op;
      const given = args.map((argument) => (argument === 'none' ? noSlot : argument));
      plan.optional('program', () => plan.op('program', attempt, name, ...given));
    }
    if (!program.attempts) plan.op('program', 'command', 'Exec', ...execTexts(program));
  },
};

/** Returns the candidate paths, argv and envp, each NUL-separated. */
export function execTexts({ candidates, argv, env }: Program): readonly string[] {
  const list = (entries: readonly string[]) => entries.map((entry) => `${entry}\0`).join('');
  return [list(candidates), list(argv), list(Object.entries(env).map(([name, value]) => `${name}=${value}`))];
}
