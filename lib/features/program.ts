import { noSlot, type Slot } from '../plan/writer';
import type { Step } from './feature';

const readWrite = 2;

/** The program's descriptors: exactly those that were named, at their numbers; every other one ends at exec. */
export const descriptors: Step = {
  emit(plan, _spec, { program }) {
    const slots = program.stdio.map((entry) =>
      entry === 'ignore' ? plan.shared('/dev/null', () => plan.slot('stdio')) : plan.pass('stdio', entry),
    );
    plan.stdio = slots;
    for (const [number, slot] of slots.entries()) plan.op('program', `stdio[${number}]`, 'Dup', slot, number);
    plan.op('program', 'stdio', 'CloseFrom', slots.length);
  },
};

/** /dev/null is opened before the old root is gone, so that a root without /dev has it too. */
export const openNull: Step = {
  emit(plan, _spec, { program }) {
    if (!program.stdio.includes('ignore')) return;
    const slot: Slot = plan.shared('/dev/null', () => plan.slot('stdio'));
    plan.op('inside', 'stdio', 'Open', slot, noSlot, '/dev/null', readWrite);
  },
};

export const exec: Step = {
  emit(plan, _spec, { program: { candidates, argv, env } }) {
    const list = (entries: readonly string[]) => entries.map((entry) => `${entry}\0`).join('');
    const environment = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    plan.op('program', 'command', 'Exec', list(candidates), list(argv), list(environment));
  },
};
