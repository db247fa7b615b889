import { readFileSync } from 'node:fs';
import type { LaunchPlan } from '../plan/writer';

// An end is told a moment after the kill that was counted.
const claimMs = 1000;

/** Tells of programs that share a cgroup which of them the kernel killed for lack of memory. */
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

  /** Claims so many of the kills of late, each of which is one end, as far as there are that many; several ends may be told of at once. */
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
