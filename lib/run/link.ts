import type { LimitsSpec } from '../cgroup/limits';
import type { EgressEvent } from '../features/egress-events';
import type { Launched } from '../launcher/launch';
import type { Outcome } from '../launcher/outcome';
import type { Stats } from '../monitor/stats';
import type { StuckProcess } from '../monitor/stuck';
import type { Violation } from '../options/syscalls';
import type { Result } from '../report/result';

/** Receives the events of a run. */
export interface RunEvents {
  started(pid: number): void;
  exited(code: number | null, signal: NodeJS.Signals | null): void;
  violation(violation: Violation): void;
  stuck(found: readonly StuckProcess[]): void;
  egress(event: EgressEvent): void;
  settled(error: Error | undefined, result: Result<string | Buffer> | undefined): void;
}

/** The connection of a run to the launcher of its program. */
export interface Link {
  readonly launched: Launched;
  readonly outcome: Outcome;
  /** Sends a signal to the program. */
  signal(number: number): void;
  /** Called before the program is stopped with its killSignal. */
  onStopping(): void;
  /** Kills the program and everything that exists only for it. */
  end(): void;
  /** The limits that the cgroups of its sandbox enforce now. */
  readonly limits: LimitsSpec;
  /** Returns the resource usage; undefined once the program is gone. */
  stats(): Stats | undefined;
  /** Called when the program has started. */
  onStarted(): void;
  /** Called when the program is gone. */
  onGone(): void;
  ref(on: boolean): void;
}
