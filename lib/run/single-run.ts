import type { LimitsSpec } from '../cgroup/limits';
import { hasOwnNetwork } from '../features/network-kind';
import { follow } from '../launcher/follow';
import { type Started, start } from '../launcher/launch';
import type { Outcome } from '../launcher/outcome';
import type { Message } from '../launcher/session';
import { type Watchdog, watchdogFor } from '../monitor/limit-watch';
import { StatsSource, withEgress } from '../monitor/source';
import type { Stats } from '../monitor/stats';
import { StuckWatch } from '../monitor/stuck';
import type { ParsedOptions } from '../options/options';
import { childrenOf, readProcesses } from '../proc/processes';
import { makeSpareNet, wantsSpareNet } from '../setup/spare-network';
import type { Link, RunEvents } from './link';
import { Run } from './run';

/**
 * Starts a program in a sandbox of its own; both end together. Throws the error that kept the launcher from starting.
 */
export function startSingleRun(parsed: ParsedOptions, events: RunEvents): Run {
  return new SingleRun(parsed, events, start(parsed)).run;
}

/** A parked sandbox, which waits for its program. */
export interface Parked {
  start(parsed: ParsedOptions): Started;
}

/** Starts a program in a parked sandbox. Throws NsError ERR_NSJS_CLOSED if that has ended. */
export function startPrepared(prepared: Parked, parsed: ParsedOptions, events: RunEvents): Run {
  return new SingleRun(parsed, events, prepared.start(parsed)).run;
}

class SingleRun implements Link {
  readonly session: Started['session'];
  readonly plan: Started['plan'];
  readonly context: Started['context'];
  readonly ours: Started['ours'];
  readonly network: Started['network'];
  readonly prepared: Started['prepared'];
  readonly forget: Started['forget'];
  readonly run: Run;
  private readonly source: StatsSource;
  private readonly stuck: StuckWatch;
  private watchdog: Watchdog | undefined;

  constructor(
    private readonly parsed: ParsedOptions,
    events: RunEvents,
    started: Started,
  ) {
    ({
      session: this.session,
      plan: this.plan,
      context: this.context,
      ours: this.ours,
      prepared: this.prepared,
      forget: this.forget,
    } = started);
    this.source = new StatsSource(this.context, this.session.pid, hasOwnNetwork(parsed.spec));
    this.network = started.network;
    this.network?.connect(
      () => this.source.initPid,
      (event) => events.egress(event),
    );
    this.run = new Run(parsed, events, this);
    this.session.adopt();
    this.stuck = new StuckWatch(
      this.run.outcome,
      () => this.source.initPid,
      (found) => events.stuck(found),
    );
    try {
      follow(this, {
        outcome: this.run.outcome,
        launcherPath: parsed.spec.launcherPath,
        take: (message) => this.take(message),
        gone: () => this.run.onGone(),
      });
    } catch (error) {
      for (const stream of this.run.streams) stream?.destroy();
      this.network?.close();
      throw error;
    }
  }

  signal(number: number): void {
    this.session.signal(number);
  }

  end(): void {
    noteCpu(this.run.outcome, this);
    this.session.kill();
  }

  ref(on: boolean): void {
    this.session.ref(on);
  }

  get limits(): LimitsSpec {
    return this.context.cgroups.limits;
  }

  stats(): Stats | undefined {
    return withEgress(this.source.read(this.parsed.spec.limits), this.network);
  }

  started(): void {
    this.network?.started();
    if (wantsSpareNet(this.parsed.spec)) makeSpareNet();
    this.watchdog = watchdogFor(
      this.parsed.spec.limits,
      this.context.cgroups,
      { stats: () => this.stats(), held: () => this.source.held(), runs: () => this.source.runs(), sockets: () => this.source.sockets() },
      (overrun) => this.run.overrun(overrun),
    );
  }

  gone(): void {
    this.watchdog?.stop();
    this.stuck.stop();
    this.source.close();
    this.network?.close();
  }

  private take({ record, pid, fds }: Message): void {
    this.run.feed(record, pid, fds);
    // Nothing else ends a parked sandbox whose program could not be started.
    if (this.prepared && this.run.outcome.failure) this.session.kill();
  }
}

/** Records the CPU time used so far, before everything is killed. Only needed without a cgroup that counts it. */
export function noteCpu(outcome: Outcome, { context, session }: Started): void {
  const init = context.cgroups.cpuUsage === undefined ? childrenOf(session.pid)[0] : undefined;
  const cpu = init === undefined ? undefined : readProcesses(init)?.cpu;
  if (cpu) outcome.cpuAtEnd ??= cpu;
}
