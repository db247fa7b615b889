import { constants } from 'node:os';
import type { Link, Run } from './run';
import type { Started } from './start';

/** The way from a run to its program in a sandbox that stays. */
export class ProgramLink implements Link {
  readonly session: Started['session'];
  readonly plan: Started['plan'];
  readonly scene: Started['scene'];
  readonly ours: Started['ours'];
  run: Run | undefined;
  isHeld = true;

  constructor(
    started: Started,
    readonly id: number,
    private readonly onHold: () => void,
  ) {
    ({ session: this.session, plan: this.plan, scene: this.scene, ours: this.ours } = started);
  }

  signal(number: number): void {
    this.session.signal(number, this.id);
  }

  end(): void {
    this.signal(constants.signals.SIGKILL);
  }

  ref(on: boolean): void {
    this.isHeld = on;
    this.onHold();
  }
}
