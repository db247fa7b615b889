import type { SandboxOptions } from '../features';
import { rangeSize } from '../features/id-map';
import { host } from '../host/host';
import { usrMasks } from '../host/usr-masks';
import { parseOptions, readSpawnOptions } from '../options/options';
import { type Argument, type PlannedOp, Slot, sections } from '../plan/operation';
import { chooseGroups } from '../setup/choose-cgroup';
import { firstHostId } from '../setup/host-id';
import { writePlan } from '../setup/write-plan';

/** The steps that `spawnIsolated` would take. Making a plan needs no privileges and creates nothing. */
export interface Plan {
  readonly steps: readonly {
    readonly section: string;
    readonly operation: string;
    readonly origin: string;
    readonly args: readonly string[];
  }[];
  /** Returns the plan as text, one operation per line. */
  toString(): string;
}

/**
 * Returns the plan for the given options: every operation, in order, with the option that causes it. It describes the
 * first sandbox with these options. If root runs nsjs, later ones may reuse a root that was made by the same
 * operations, and a network namespace that was made in advance.
 */
export function explain(options: SandboxOptions = {}, command = 'program', args: readonly string[] = []): Plan {
  const { spec, program } = parseOptions(command, args, readSpawnOptions(options));
  const { privileged } = host();
  // Leaves out `cgroup.parent`, which would be created.
  const { level } = spec.cgroup;
  const { cgroups, freezer } = chooseGroups({ ...spec, cgroup: { level } }, 'run', 'nsjs-…');
  const plan = writePlan(spec, {
    host: host(),
    cgroups,
    ...(freezer ? { freezer } : {}),
    dropped: [],
    program,
    kind: 'run',
    hidden: usrMasks(),
    emptyMounts: privileged,
    ...(privileged ? { hostId: firstHostId, hostIds: spec.user.ids === 'range' ? rangeSize : 1 } : {}),
  });
  const steps = sections.flatMap((section) =>
    plan.section(section).map((op) => ({ section, operation: op.name, origin: op.origin, args: op.args.map(text), op })),
  );
  return {
    steps: steps.map(({ op: _, ...step }) => step),
    toString: () => steps.map(({ section, op }) => line(section, op)).join('\n'),
  };
}

function line(section: string, { name, origin, args, optional }: PlannedOp): string {
  return `${section.padEnd(8)}${name.padEnd(16)}${args.map(text).join(' ')}${optional > 0 ? '  [preferred]' : ''}  # ${origin}`;
}

function text(argument: Argument): string {
  if (argument instanceof Slot) return argument.index === 0xffffffff ? '-' : `$${argument.index}`;
  if (typeof argument === 'number') return argument > 9 ? `0x${argument.toString(16)}` : `${argument}`;
  if (typeof argument === 'string') return JSON.stringify(argument.replaceAll('\0', ' ').trim());
  return `<${argument.byteLength} bytes>`;
}
