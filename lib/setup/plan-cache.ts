import { bare } from '../base/parse';
import type { Scene } from '../features/feature';
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
  readonly host: Scene['host'];
  /** The result of `scene.sharedRoot` for the recipe of the plan. */
  readonly root: number | undefined;
}

const templates = new WeakMap<Spec, Map<string, Template>>();

/**
 * Returns the plan of a program, made from a template if there is one. It is equivalent to the plan that writePlan()
 * returns.
 */
export function planFor(spec: Spec, scene: Scene, running?: PlanWriter): LaunchPlan {
  if (!isRepeatable(spec, scene)) return writePlan(spec, scene, running);
  const ofSpec = templates.get(spec) ?? new Map<string, Template>();
  templates.set(spec, ofSpec);
  const shape = `${scene.kind} ${scene.single ? 'single ' : ''}${scene.adopts ? 'adopts ' : ''}${scene.spareNet === undefined ? '' : 'net '}${scene.program.stdio.map(shapeOf).join('')} ${scene.hidden?.map(({ target }) => target)}`;
  const kept = ofSpec.get(shape);
  const found = kept?.host === scene.host ? kept : undefined;
  const recipe = found?.writer.recipe;
  const root = recipe && scene.sharedRoot?.(recipe);
  // Evaluated once: the answer must not change between the lookup and the writing of the plan.
  const settled: Scene = found ? bare({ ...scene, sharedRoot: () => root }) : scene;
  if (found?.root === root && found) return new TemplatedPlan(found, spec, settled, running);
  const writer = writePlan(spec, settled, running);
  ofSpec.set(shape, makeTemplate(writer, scene));
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
  { kind, program, ownLimits, group, cgroups, network }: Scene,
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

function makeTemplate(writer: PlanWriter, scene: Scene): Template {
  const ids: number[] = [];
  const groups: number[] = [];
  const group = groupName(scene);
  const id = scene.hostId === undefined ? undefined : `${scene.hostId}`;
  const bytes = writer.bytes((op: PlannedOp, text: string, at: number) => {
    // `inside outside count`
    const mapped = id !== undefined && op.name === 'WriteInit' && text.includes(` ${id} `) ? text.indexOf(` ${id} `) + 1 : -1;
    const ownId = op.name === 'Owner' ? 0 : mapped;
    const ownGroup = group !== undefined && op.origin.startsWith('cgroup') ? text.indexOf(group) : -1;
    const limited = group !== undefined && op.origin.startsWith('limits') && op.name === 'WriteFile' ? text.indexOf(group) : -1;
    if (ownId >= 0) ids.push(at + ownId);
    if (ownGroup >= 0 || limited >= 0) groups.push(at + Math.max(ownGroup, limited));
  });
  const execAt = lastOpOf(
    sections.map((section) => writer.section(section)),
    sections.indexOf('program'),
  );
  const root = writer.places.root === undefined ? undefined : writer.passed[writer.places.root];
  return { writer, bytes, ids: [...new Set(ids)], groups: [...new Set(groups)], execAt, host: scene.host, root };
}

function groupName({ cgroups }: Scene): string | undefined {
  const [folder] = Object.values(cgroups.folders);
  return folder?.slice(folder.lastIndexOf('/') + 1);
}

class TemplatedPlan implements LaunchPlan {
  readonly writer: PlanWriter;
  readonly passed: readonly number[];
  readonly stdio: LaunchPlan['stdio'];
  private written: PlanWriter | undefined;

  constructor(
    private readonly template: Template,
    private readonly spec: Spec,
    private readonly scene: Scene,
    private readonly running: PlanWriter | undefined,
  ) {
    this.writer = template.writer;
    const passed = [...template.writer.passed];
    for (const [name, fd] of [
      ['lock', scene.lockFd],
      ['net', scene.spareNet],
    ] as const) {
      const at = template.writer.places[name];
      if (at !== undefined && fd !== undefined) passed[at] = fd;
    }
    for (const [number, entry] of scene.program.stdio.entries())
      if (typeof entry === 'number') passed[template.writer.stdio[number]?.index ?? 0] = entry;
    this.passed = passed;
    this.stdio = template.writer.stdio;
  }

  bytes(): Uint8Array {
    const { bytes, ids, groups, execAt } = this.template;
    const id = `${this.scene.hostId}`;
    const group = groupName(this.scene) ?? '';
    const changes = [...ids.map((at) => ({ at, text: id })), ...groups.map((at) => ({ at, text: group }))];
    return changePlan(bytes, changes, execAt, this.scene.kind === 'sandbox' ? [] : execTexts(this.scene.program));
  }

  // Only called after an operation failed.
  section(section: Section): readonly PlannedOp[] {
    this.written ??= writePlan(this.spec, this.scene, this.running);
    return this.written.section(section);
  }

  lastWord(step: number): string {
    return this.template.writer.lastWord(step);
  }
}
