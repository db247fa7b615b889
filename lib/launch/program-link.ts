import { constants } from 'node:os';
import type { LimitsSpec } from '../cgroup/limits';
import { withProcesses } from '../monitor/source';
import type { Stats } from '../monitor/stats';
import type { Link } from './link';
import type { OwnGroup } from './program-group';
import type { ProgramHost } from './programs';
import type { Run } from './run';
import type { Started } from './start';

/** The way from a run to its program in a sandbox that stays. */
export class ProgramLink implements Link {
  readonly session: Started['session'];
  readonly plan: Started['plan'];
  readonly scene: Started['scene'];
  readonly ours: Started['ours'];
  run: Run | undefined;
  pid: number | undefined;
  isHeld = true;

  constructor(
    started: Started,
    readonly id: number,
    /** Where it has limits of its own. */
    readonly group: OwnGroup | undefined,
    private readonly sandbox: Pick<ProgramHost, 'limits' | 'holdLoop'>,
  ) {
    ({ session: this.session, plan: this.plan, scene: this.scene, ours: this.ours } = started);
  }

  signal(number: number): void {
    this.session.signal(number, this.id);
  }

  end(): void {
    this.group?.kill();
    this.signal(constants.signals.SIGKILL);
  }

  ref(on: boolean): void {
    this.isHeld = on;
    this.sandbox.holdLoop();
  }

  get limits(): LimitsSpec {
    return this.sandbox.limits;
  }

  stats(): Stats | undefined {
    const found = withProcesses(this.group?.stats(), this.pid);
    return found && { time: Date.now(), ...found };
  }

  started(): void {}

  gone(): void {
    void this.group?.remove();
  }
}
