import { type Spec, steps } from '../features';
import type { Scene } from '../features/feature';
import { PlanWriter } from '../plan/writer';

/** The whole way from spec to operations: pure but for what `scene` already holds. */
export function writePlan(spec: Spec, scene: Scene): PlanWriter {
  const plan = new PlanWriter();
  for (const step of steps) step.emit(plan, spec, scene);
  return plan;
}

/** A plan that only cleans up what another one left, for a sandbox whose keeper was killed. */
export function cleanupPlan(plan: PlanWriter): PlanWriter | undefined {
  if (plan.ops.after.length === 0) return undefined;
  const cleanup = new PlanWriter();
  cleanup.ops.after.push(...plan.ops.after);
  return cleanup;
}
