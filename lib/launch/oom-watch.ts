import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { LaunchPlan } from '../plan/writer';
import type { LaunchRecord } from './record';

/** Tells of programs that share a control group which of them the kernel killed for lack of memory. */
export class OomWatch {
  private readonly path: string | undefined;
  /** How many it has killed by now, as far as anybody looked. */
  seen = 0;
  // Of this turn of the loop, in which several ends may be told of at once.
  private unclaimed = 0;

  /** The plan says which file counts: its section `after` reads it. */
  constructor(plan: LaunchPlan) {
    const reads = plan.section('after').filter(({ name }) => name === 'ReadFile');
    this.path = reads.map(({ args }) => String(args[0])).find((path) => /memory\.(oom_control|events)$/.test(path));
  }

  /** Whether the kernel has killed since it was last asked: of such ends only SIGKILL can be one, and each kill is one end. */
  hasKilled({ status }: LaunchRecord): boolean {
    const before = this.seen;
    this.seen = this.kills();
    if (this.seen > before) {
      if (this.unclaimed === 0) setImmediate(() => (this.unclaimed = 0));
      this.unclaimed += this.seen - before;
    }
    if (status !== constants.signals.SIGKILL || this.unclaimed === 0) return false;
    this.unclaimed--;
    return true;
  }

  private kills(): number {
    if (this.path === undefined) return 0;
    try {
      return Number(/^oom_kill (\d+)$/m.exec(readFileSync(this.path, 'latin1'))?.[1] ?? 0);
    } catch {
      // Gone with the sandbox.
      return 0;
    }
  }
}
