import type { LimitsSpec } from '../cgroup/limits';
import { hasOwnNetwork } from '../features/network';
import { childrenOf, readProcesses } from '../monitor/process-reader';
import { StatsSource, withEgress } from '../monitor/source';
import type { Stats } from '../monitor/stats';
import { StuckWatch } from '../monitor/stuck';
import { type Watchdog, watchdogFor } from '../monitor/watchdog';
import { channel } from '../native';
import type { Link, RunEvents } from './link';
import type { ParsedOptions } from './options';
import type { Outcome } from './outcome';
import { Run } from './run';
import { openCleanup, type Started, start } from './start';

/** Starts a program in a sandbox of its own: both end together. Throws what kept the launcher from starting. */
export function startSolo(parsed: ParsedOptions, events: RunEvents): Run {
  return new Solo(parsed, events).run;
}

class Solo implements Link {
  readonly session: Started['session'];
  readonly plan: Started['plan'];
  readonly scene: Started['scene'];
  readonly ours: Started['ours'];
  readonly network: Started['network'];
  readonly run: Run;
  private readonly source: StatsSource;
  private readonly stuck: StuckWatch;
  private watchdog: Watchdog | undefined;

  constructor(
    private readonly parsed: ParsedOptions,
    events: RunEvents,
  ) {
    const started = start(parsed);
    ({ session: this.session, plan: this.plan, scene: this.scene, ours: this.ours } = started);
    this.source = new StatsSource(this.scene, this.session.pid, hasOwnNetwork(parsed.spec));
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
      this.session.watch((which) => this.onReadable(which));
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
    return this.scene.cgroups.limits;
  }

  stats(): Stats | undefined {
    return withEgress(this.source.read(this.parsed.spec.limits), this.network);
  }

  started(): void {
    this.network?.started();
    this.watchdog = watchdogFor(
      this.parsed.spec.limits,
      this.scene.cgroups,
      { stats: () => this.stats(), held: () => this.source.held(), runs: () => this.source.runs() },
      (overrun) => this.run.overrun(overrun),
    );
  }

  gone(): void {
    this.watchdog?.stop();
    this.stuck.stop();
    this.source.close();
    this.network?.close();
  }

  // The sandbox is gone when its keeper says so: every process reaped, the control group removed. What the keeper still
  // holds, the mount namespace, ends with it a moment later and keeps nobody waiting.
  private onReadable(which: number): void {
    const keeperEnded = which === channel.keeperEnd;
    this.read(keeperEnded ? channel.control : which);
    const cleaned = this.run.outcome.ended?.err === 0;
    if (keeperEnded || cleaned) this.read(channel.init);
    if (keeperEnded) this.session.close();
    if (cleaned) this.run.onGone();
    else if (keeperEnded) cleanUp(this, this.parsed.spec.launcherPath, () => this.run.onGone());
  }

  private read(which: number): void {
    for (const { record, pid, fds } of this.session.messages(which)) this.run.feed(record, pid, fds);
  }
}

/** Before all of it is killed, and where no group will tell: what it has used. */
export function noteCpu(outcome: Outcome, { scene, session }: Started): void {
  const init = scene.cgroups.cpuUsage === undefined ? childrenOf(session.pid)[0] : undefined;
  const cpu = init === undefined ? undefined : readProcesses(init)?.cpu;
  if (cpu) outcome.cpuAtEnd ??= cpu;
}

/** The keeper was killed or could not clean up: another launcher does it. */
export function cleanUp({ plan }: Started, launcherPath: string | undefined, done: () => void): void {
  const session = openCleanup(plan, launcherPath);
  if (!session) {
    done();
    return;
  }
  session.watch((which) => {
    for (const _ of session.messages(which));
    if (which !== channel.keeperEnd) return;
    session.close();
    done();
  });
}
