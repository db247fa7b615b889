import { bare } from '../base/parse';
import type { Context } from '../features/feature';
import { execTexts } from '../features/program';
import type { Spec } from '../features/spec';
import { changePlan, lastOpOf } from '../plan/encode';
import { type PlannedOp, type Section, sections } from '../plan/operation';
import { type LaunchPlan, PlanWriter } from '../plan/writer';
import { writePlan } from './write-plan';

/**
 * A finished plan that serves again. Plans of one spec differ only in the sandbox's host id, in the name of its cgroups
 * and in the command, so a plan is written once and then patched. That takes a twentieth of the time of writing it
 * again.
 */
interface Template {
  readonly writer: PlanWriter;
  readonly bytes: Uint8Array;
  readonly ids: readonly number[];
  readonly groups: readonly number[];
  readonly execAt: number;
  /** State of this process and this machine when the plan was written. */
  readonly host: Context['host'];
  /** The result of `context.sharedRoot` for the recipe of the plan. */
  readonly root: number | undefined;
}

const templates = new WeakMap<Spec, Map<string, Template>>();

/**
 * Returns the plan of a program, made from a template if there is one. It is equivalent to the plan that writePlan()
 * returns.
 */
export function planFor(spec: Spec, context: Context, running?: PlanWriter): LaunchPlan {
  if (!isRepeatable(spec, context)) return writePlan(spec, context, running);
  const ofSpec = templates.get(spec) ?? new Map<string, Template>();
  templates.set(spec, ofSpec);
  const shape = `${context.kind} ${context.parked ? 'parked ' : ''}${context.adopts ? 'adopts ' : ''}${context.spareNet === undefined ? '' : 'net '}${context.program.stdio.map(shapeOf).join('')} ${context.hidden?.map(({ target, kind, kept }) => [target, kind, ...kept].join(':'))}`;
  const kept = ofSpec.get(shape);
  const found = kept?.host === context.host ? kept : undefined;
  const recipe = found?.writer.recipe;
  const root = recipe && context.sharedRoot?.(recipe);
  // Evaluated once: the answer must not change between the lookup and the writing of the plan.
  const settled: Context = found ? bare({ ...context, sharedRoot: () => root }) : context;
  if (found?.root === root && found) return new TemplatedPlan(found, spec, settled, running);
  const writer = writePlan(spec, settled, running);
  ofSpec.set(shape, makeTemplate(writer, context));
  return writer;
}

/** Returns the writer that assigned the slots of a plan, for plans of programs in the same sandbox. */
export const writerOf = (plan: LaunchPlan): PlanWriter | undefined =>
  plan instanceof PlanWriter ? plan : plan instanceof TemplatedPlan ? plan.writer : undefined;

// A descriptor of the caller is handled differently from a pipe.
const shapeOf = (entry: number | 'ignore' | 'pty'): string => (typeof entry === 'number' ? (entry < 0 ? 'p' : 'd') : 'i');

// Plans that depend on the current state of the machine cannot be cached.
const isRepeatable = (
  { mounts, namespaces, root, proc, limits }: Spec,
  { kind, program, ownLimits, group, cgroups, network }: Context,
): boolean =>
  !program.pty &&
  !ownLimits &&
  !group &&
  // Operations that use other files of the cgroup, or depend on disks, are written anew.
  limits.cpuTime === undefined &&
  limits.idle === undefined &&
  cgroups.limits.io === undefined &&
  !program.notify &&
  !program.attempts &&
  proc !== 'masked' &&
  namespaces.user &&
  // Without a new UTS namespace, /etc/hosts contains the host's name, which can change.
  (kind === 'program' || namespaces.uts) &&
  (kind === 'program' || network === undefined) &&
  Object.keys(namespaces.joined).length === 0 &&
  (kind === 'program' || ((root === 'system' || root === 'empty') && mounts.length === 0));

function makeTemplate(writer: PlanWriter, context: Context): Template {
  const ids: number[] = [];
  const groups: number[] = [];
  const group = groupName(context);
  const id = context.hostId === undefined ? undefined : `${context.hostId}`;
  const bytes = writer.bytes((op: PlannedOp, text: string, at: number) => {
    const ownId = op.mark === 'host-id' && id !== undefined ? placeOfId(text, id) : -1;
    const ownGroup = op.mark === 'cgroup' && group !== undefined ? text.indexOf(group) : -1;
    if (ownId >= 0) ids.push(at + ownId);
    if (ownGroup >= 0) groups.push(at + ownGroup);
  });
  const execAt = lastOpOf(
    sections.map((section) => writer.section(section)),
    sections.indexOf('program'),
  );
  const root = writer.places.root === undefined ? undefined : writer.passed[writer.places.root];
  return { writer, bytes, ids: [...new Set(ids)], groups: [...new Set(groups)], execAt, host: context.host, root };
}

// The id is the whole text, or in an entry of an id map: `inside outside count`.
function placeOfId(text: string, id: string): number {
  if (text === id) return 0;
  const found = text.indexOf(` ${id} `);
  return found < 0 ? -1 : found + 1;
}

function groupName({ cgroups, freezer }: Context): string | undefined {
  const [directory = freezer?.own ? freezer.directory : undefined] = Object.values(cgroups.directories);
  return directory?.slice(directory.lastIndexOf('/') + 1);
}

class TemplatedPlan implements LaunchPlan {
  readonly writer: PlanWriter;
  readonly passed: readonly number[];
  readonly stdio: LaunchPlan['stdio'];
  private written: PlanWriter | undefined;

  constructor(
    private readonly template: Template,
    private readonly spec: Spec,
    private readonly context: Context,
    private readonly running: PlanWriter | undefined,
  ) {
    this.writer = template.writer;
    const passed = [...template.writer.passed];
    for (const [name, fd] of [
      ['lock', context.lockFd],
      ['net', context.spareNet],
    ] as const) {
      const at = template.writer.places[name];
      if (at !== undefined && fd !== undefined) passed[at] = fd;
    }
    for (const [number, entry] of context.program.stdio.entries())
      if (typeof entry === 'number') passed[template.writer.stdio[number]?.index ?? 0] = entry;
    this.passed = passed;
    this.stdio = template.writer.stdio;
  }

  bytes(): Uint8Array {
    const { bytes, ids, groups, execAt } = this.template;
    const id = `${this.context.hostId}`;
    const group = groupName(this.context) ?? '';
    const changes = [...ids.map((at) => ({ at, text: id })), ...groups.map((at) => ({ at, text: group }))];
    return changePlan(bytes, changes, execAt, this.context.kind === 'sandbox' ? [] : execTexts(this.context.program));
  }

  // Only called after an operation failed.
  section(section: Section): readonly PlannedOp[] {
    this.written ??= writePlan(this.spec, this.context, this.running);
    return this.written.section(section);
  }

  lastWord(step: number): string {
    return this.template.writer.lastWord(step);
  }
}
