import { readFileSync } from 'node:fs';
import type { LaunchPlan } from '../plan/writer';

// The exit notification arrives shortly after the kernel counts the OOM kill.
const claimMs = 1000;

/** Finds out which of the programs that share a cgroup the kernel killed for lack of memory. */
export class OomWatch {
  private readonly path: string | undefined;
  /** How many it has killed by now, as far as anybody looked. */
  seen = 0;
  private unclaimed = 0;
  private countedAt = 0;

  /** The plan says which file counts: its section `after` reads it. */
  constructor(plan: LaunchPlan) {
    const reads = plan.section('after').filter(({ name }) => name === 'ReadFile');
    this.path = reads.map(({ args }) => String(args[0])).find((path) => /memory\.(oom_control|events)$/.test(path));
  }

  /** Claims up to that many of the recent kills, one for each program that ended; several ends may be reported at once. */
  take(count: number): number {
    const taken = Math.min(count, this.unclaimed);
    this.unclaimed -= taken;
    return taken;
  }

  /** Counts anew. */
  look(): void {
    const now = performance.now();
    const kills = this.kills();
    // What nobody has claimed by then was no program, but something that one had started.
    if (now - this.countedAt > claimMs) this.unclaimed = 0;
    if (kills <= this.seen) return;
    this.unclaimed += kills - this.seen;
    this.seen = kills;
    this.countedAt = now;
  }

  private kills(): number {
    if (this.path === undefined) return 0;
    try {
      return Number(/^oom_kill (\d+)$/m.exec(readFileSync(this.path, 'latin1'))?.[1] ?? 0);
    } catch {
      // Gone with the sandbox, or there are too few descriptors.
      return this.seen;
    }
  }
}
