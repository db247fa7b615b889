import type { LimitsSpec } from '../cgroup/limits';
import { Instance } from '../launcher/instance';
import { type Launched, launch } from '../launcher/launch';
import { Outcome } from '../launcher/outcome';
import type { Message } from '../launcher/session';
import type { Stats } from '../monitor/stats';
import type { ParsedOptions } from '../options/options';
import { makeSpareNet, wantsSpareNet } from '../setup/spare-network';
import type { Link, RunEvents } from './link';
import { Run } from './run';

/**
 * Starts a program in a sandbox of its own; both end together. Throws the error that kept the launcher from starting.
 */
export function startSingleRun(parsed: ParsedOptions, events: RunEvents): Run {
  return new SingleRun(parsed, events, launch(parsed)).run;
}

/** A parked sandbox, which waits for its program. */
export interface ParkedSandbox {
  start(parsed: ParsedOptions): Launched;
}

/** Starts a program in a parked sandbox. Throws NsError ERR_NSJS_CLOSED if that has ended. */
export function startParked(parked: ParkedSandbox, parsed: ParsedOptions, events: RunEvents): Run {
  return new SingleRun(parsed, events, parked.start(parsed)).run;
}

class SingleRun implements Link {
  readonly outcome: Outcome;
  readonly run: Run;
  private readonly instance: Instance;

  constructor(
    private readonly parsed: ParsedOptions,
    events: RunEvents,
    readonly launched: Launched,
  ) {
    const { command, spec } = parsed;
    this.outcome = new Outcome(launched.plan, [command.file, ...command.args], launched.parkedFacts);
    this.instance = new Instance(launched, this.outcome, spec);
    this.instance.connect(events);
    this.run = new Run(parsed, events, this);
    launched.session.adopt();
    try {
      this.instance.follow({ take: (message) => this.take(message), gone: () => this.run.onGone() });
    } catch (error) {
      for (const stream of this.run.streams) stream?.destroy();
      throw error;
    }
  }

  signal(number: number): void {
    this.launched.session.signal(number);
  }

  // The program has its sandbox for itself: everything in it is killed with it.
  onStopping(): void {}

  end(): void {
    this.instance.kill();
  }

  ref(on: boolean): void {
    this.launched.session.ref(on);
  }

  get limits(): LimitsSpec {
    return this.launched.context.cgroups.limits;
  }

  stats(): Stats | undefined {
    return this.instance.stats(this.parsed.spec.limits);
  }

  onStarted(): void {
    if (wantsSpareNet(this.parsed.spec)) makeSpareNet();
    this.instance.began(
      () => this.stats(),
      (overrun) => this.run.overrun(overrun),
    );
  }

  onGone(): void {
    this.instance.close();
  }

  private take({ record, pid, fds }: Message): void {
    this.run.feed(record, pid, fds);
    // Nothing else ends a parked sandbox whose program could not be started.
    if (this.launched.parkedFacts && this.outcome.failure) this.launched.session.kill();
  }
}
