import { clearImmediate, clearTimeout, setImmediate, setTimeout } from 'node:timers';
import { monotonic } from '../base/clock';
import type { Outcome, Reason } from '../launcher/outcome';

/** Calls functions after a time in ms. */
export interface Clock {
  after(ms: number, act: () => void): void;
}

/**
 * The clock of the asynchronous form: timers that are cleared together. None keeps the event loop alive: the session
 * does, as long as there is something to time. After a blocked event loop, timers would fire before pending messages;
 * each one therefore acts only after those were read.
 */
export class Timers implements Clock {
  private readonly running = new Set<NodeJS.Timeout>();
  private readonly due = new Set<NodeJS.Immediate>();

  after(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.running.delete(timer);
      const immediate = setImmediate(() => {
        this.due.delete(immediate);
        act();
      });
      this.due.add(immediate);
    }, ms);
    timer.unref();
    this.running.add(timer);
  }

  clear(): void {
    for (const timer of this.running) clearTimeout(timer);
    this.running.clear();
    for (const immediate of this.due) clearImmediate(immediate);
    this.due.clear();
  }
}

/** The clock of the blocking form: deadlines that its loop waits for and checks itself. */
export class Alarms implements Clock {
  private waiting: { readonly at: number; readonly act: () => void }[] = [];

  after(ms: number, act: () => void): void {
    this.waiting.push({ at: monotonic() + ms, act });
  }

  /** Time until the next deadline in ms, as poll(2) takes it; -1 without one. */
  get nextMs(): number {
    if (this.waiting.length === 0) return -1;
    return Math.max(0, Math.ceil(Math.min(...this.waiting.map(({ at }) => at)) - monotonic()));
  }

  /** Calls the functions that are due. */
  ring(): void {
    const now = monotonic();
    const due = this.waiting.filter(({ at }) => at <= now);
    this.waiting = this.waiting.filter(({ at }) => at > now);
    for (const { act } of due) act();
  }
}

/** A program that can be stopped. */
export interface Stoppable {
  /** False once the program has ended. */
  readonly alive: boolean;
  readonly outcome: Outcome;
  signal(number: number): void;
  /** Kills the program immediately. */
  end(reason: Reason): void;
  /** Called before the program is stopped. */
  onStopping(): void;
}

interface StopOptions {
  readonly killSignal: number;
  /** Time between killSignal and SIGKILL in ms. */
  readonly killGrace: number;
}

/** Stops a program for a reason: killSignal, then SIGKILL after the grace period. Only the first reason counts. */
export function stop(program: Stoppable, reason: Reason, clock: Clock, { killSignal, killGrace }: StopOptions): void {
  if (!program.alive || program.outcome.stopped) return;
  if (reason === 'timeout') program.outcome.limitReached('timeout');
  else program.outcome.killedBy(reason);
  program.onStopping();
  if (killGrace > 0) program.signal(killSignal);
  clock.after(killGrace, () => program.end(reason));
}

/** Stops a program when its option `timeout` has expired. */
export function limitTime(program: Stoppable, clock: Clock, options: StopOptions & { readonly timeout?: number | undefined }): void {
  if (options.timeout !== undefined) clock.after(options.timeout, () => stop(program, 'timeout', clock, options));
}
