import { noSlot } from '../plan/writer';
import type { Step } from './feature';
import type { Spec } from './index';

const readWrite = 2;
const nullDevice = '/dev/null';

/** The program's descriptors: exactly those that were named, at their numbers; every other one ends at exec. */
export const descriptors: Step = {
  emit(plan, _spec, { program }) {
    const slots = program.stdio.map((entry) =>
      entry === 'ignore' ? plan.shared(nullDevice, () => plan.slot('stdio')) : plan.pass('stdio', entry),
    );
    plan.stdio = slots;
    for (const [number, slot] of slots.entries()) plan.op('program', `stdio[${number}]`, 'Dup', slot, number);
    plan.op('program', 'stdio', 'CloseFrom', slots.length);
  },
};

// The sandbox's own device where it has one, so that /proc/self/fd/0 leads to a path that exists inside.
const hasOwnNull = ({ root, mounts }: Spec) =>
  root === 'system' || root === 'host' || mounts.some(({ type, target }) => type === 'dev' && target === '/dev');

const openNullWhen = (own: boolean): Step => ({
  emit(plan, spec, { program }) {
    if (!program.stdio.includes('ignore') || hasOwnNull(spec) !== own) return;
    const slot = plan.shared(nullDevice, () => plan.slot('stdio'));
    plan.op('inside', 'stdio', 'Open', slot, noSlot, nullDevice, readWrite);
  },
});

/** /dev/null of the host, before its root is gone: for a root without /dev. */
export const openHostNull = openNullWhen(false);
/** /dev/null of the sandbox, once its root is there. */
export const openOwnNull = openNullWhen(true);

export const exec: Step = {
  emit(plan, _spec, { program: { candidates, argv, env } }) {
    const list = (entries: readonly string[]) => entries.map((entry) => `${entry}\0`).join('');
    const environment = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    plan.op('program', 'command', 'Exec', list(candidates), list(argv), list(environment));
  },
};
