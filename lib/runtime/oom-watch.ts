import { readFileSync } from 'node:fs';
import { monotonic } from '../base/clock';
import type { LaunchPlan } from '../plan/writer';

// The exit notification arrives shortly after the kernel counts the OOM kill.
const claimMs = 1000;

/** Finds out which of the programs that share a cgroup the kernel killed for lack of memory. */
export class OomWatch {
  private readonly path: string | undefined;
  /** Number of OOM kills at the last look(). */
  seen = 0;
  private unclaimed = 0;
  private countedAt = 0;

  /** The section `after` of the plan reads the file that counts OOM kills. */
  constructor(plan: LaunchPlan) {
    const reads = plan.section('after').filter(({ name }) => name === 'ReadFile');
    this.path = reads.map(({ args }) => String(args[0])).find((path) => /memory\.(oom_control|events)$/.test(path));
  }

  /**
   * Claims up to `count` of the recent kills, one for each program that ended; several ends may be reported at once.
   * Returns the number claimed.
   */
  take(count: number): number {
    const taken = Math.min(count, this.unclaimed);
    this.unclaimed -= taken;
    return taken;
  }

  /** Reads the counter again. */
  look(): void {
    const now = monotonic();
    const kills = this.kills();
    // An OOM kill that was not claimed by then was not of a program, but of a process that a program had started.
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
      // The file is gone with the sandbox, or this process has too few descriptors.
      return this.seen;
    }
  }
}
