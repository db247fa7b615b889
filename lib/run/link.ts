import type { LimitsSpec } from '../cgroup/limits';
import type { EgressEvent } from '../features/egress-events';
import type { Started } from '../launcher/launch';
import type { Stats } from '../monitor/stats';
import type { StuckProcess } from '../monitor/stuck';
import type { Violation } from '../options/syscalls';
import type { Result } from '../report/result';

/** What a run tells as it goes on. */
export interface RunEvents {
  started(pid: number): void;
  exited(code: number | null, signal: NodeJS.Signals | null): void;
  violation(violation: Violation): void;
  stuck(found: readonly StuckProcess[]): void;
  egress(event: EgressEvent): void;
  settled(error: Error | undefined, result: Result<string | Buffer> | undefined): void;
}

/** What a run needs of the launcher that its program is in. */
export interface Link extends Started {
  /** Sends a signal to the program. */
  signal(number: number): void;
  /** The program is about to be asked to end. */
  ending?(): void;
  /** Kills the program, and with it whatever is there for its sake alone. */
  end(): void;
  /** What the cgroups of its sandbox hold it to now. */
  readonly limits: LimitsSpec;
  /** What it uses; undefined once it is gone. */
  stats(): Stats | undefined;
  /** It runs. */
  started(): void;
  /** It is gone. */
  gone(): void;
  ref(on: boolean): void;
}
