import type { LimitsSpec } from '../cgroup/limits';
import type { EgressEvent } from '../features/egress-events';
import { hasOwnNetwork } from '../features/network-kind';
import type { Spec } from '../features/spec';
import { type Overrun, Overseer, Watchdog, type Watched } from '../monitor/limit-watch';
import { StatsSource, withEgress } from '../monitor/source';
import type { Stats } from '../monitor/stats';
import { type StuckProcess, StuckWatch } from '../monitor/stuck';
import { childrenOf, readProcesses } from '../proc/processes';
import { type Follower, follow } from './follow';
import type { Launched } from './launch';
import type { Outcome } from './outcome';

/** Receives the events of a sandbox that come neither from its launcher nor from its streams. */
export interface InstanceEvents {
  egress(event: EgressEvent): void;
  /** Processes that still exist one second after the sandbox was killed. */
  stuck(found: readonly StuckProcess[]): void;
}

/**
 * One running sandbox: its launcher, statistics, watches and network. One-shot runs, their blocking form, long-lived
 * sandboxes and parked launchers all connect these parts here.
 */
export class Instance {
  private readonly source: StatsSource;
  private stuckWatch: StuckWatch | undefined;
  private watchdog: Watchdog | undefined;

  constructor(
    readonly launched: Launched,
    readonly outcome: Outcome,
    private readonly spec: Spec,
  ) {
    this.source = new StatsSource(launched.context, launched.session.pid, hasOwnNetwork(spec));
  }

  /** Passes the events of its network and its end to a receiver. */
  connect(events: InstanceEvents): void {
    this.launched.network?.connect(
      () => this.initPid,
      (event) => events.egress(event),
    );
    this.stuckWatch = new StuckWatch(
      this.outcome,
      () => this.initPid,
      (found) => events.stuck(found),
    );
  }

  /** Follows the launcher until its sandbox is gone. Throws a SysError if its channels cannot be watched. */
  follow(follower: Follower): void {
    try {
      follow(this.launched, this.outcome, this.spec.launcherPath, follower);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Pid of init on this host; undefined if it has not been found. */
  get initPid(): number | undefined {
    return this.source.initPid;
  }

  /** Returns the resource usage with the limits that are now in force; undefined once the sandbox is gone. */
  stats(limits: Pick<LimitsSpec, 'memory' | 'pids'>): Stats | undefined {
    return withEgress(this.source.read(limits), this.launched.network);
  }

  /** Programs run now: their egress is served, and limits that no cgroup enforces are watched. */
  began(stats: () => Stats | undefined, onOverrun: (overrun: Overrun) => void): void {
    this.launched.network?.started();
    const overseer = this.overseer(stats);
    this.watchdog = overseer && new Watchdog(overseer, onOverrun);
  }

  /** Returns the checks of the limits that no cgroup enforces, or undefined if cgroups enforce all of them. */
  overseer(stats: () => Stats | undefined): Overseer | undefined {
    const { source } = this;
    const { version, cpuUsage } = this.launched.context.cgroups;
    const watched: Watched = { stats, held: () => source.held(), runs: () => source.runs(), sockets: () => source.sockets() };
    return Overseer.for(this.spec.limits, { version, countsCpu: cpuUsage !== undefined }, watched);
  }

  /** Kills all of a one-shot run. Without a cgroup that counts it, the CPU time used so far is read before. */
  kill(): void {
    const { context, session } = this.launched;
    const init = context.cgroups.cpuUsage === undefined ? childrenOf(session.pid)[0] : undefined;
    const cpu = init === undefined ? undefined : readProcesses(init)?.cpu;
    if (cpu) this.outcome.noteCpu(cpu);
    session.kill();
  }

  /** Releases what this process holds for it. */
  close(): void {
    this.watchdog?.stop();
    this.stuckWatch?.stop();
    this.source.close();
    this.launched.network?.close();
  }
}
