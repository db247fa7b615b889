import { bare } from '../base/parse';
import { steps } from '../features';
import type { Context } from '../features/feature';
import type { Spec } from '../features/spec';
import { type LaunchPlan, PlanWriter } from '../plan/writer';

const scopes = { run: ['sandbox', 'both', 'program'], sandbox: ['sandbox', 'both'], program: ['both', 'program'] };

/**
 * Translates a spec into operations. It is pure except for the resources that `context` already holds. `running` is the
 * plan of the sandbox that the program starts in.
 */
export function writePlan(spec: Spec, context: Context, running?: PlanWriter): PlanWriter {
  const plan = new PlanWriter(running);
  const wanted = scopes[context.kind];
  for (const step of steps) if (wanted.includes(bare(step).scope ?? 'sandbox')) step.emit(plan, spec, context);
  return plan;
}

/**
 * Returns a plan that only cleans up what another plan left, for a sandbox whose keeper was killed. Returns undefined
 * if there is nothing to clean up.
 */
export function cleanupPlan(plan: LaunchPlan): PlanWriter | undefined {
  const after = plan.section('after');
  if (after.length === 0) return undefined;
  const cleanup = new PlanWriter();
  cleanup.ops.after.push(...after);
  return cleanup;
}
