import { constants } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { bare } from '../base/parse';
import { foldersOf } from '../cgroup/layout';
import type { LimitsSpec } from '../cgroup/limits';
import type { EgressEvent } from '../features/egress-events';
import type { NamespaceType } from '../features/namespaces';
import { hasOwnNetwork } from '../features/network-kind';
import type { MountSpec } from '../features/root/mounts';
import type { Spec } from '../features/spec';
import { follow } from '../launcher/follow';
import { type Started, start } from '../launcher/launch';
import { Outcome, type Reason } from '../launcher/outcome';
import { type LaunchRecord, namespaceOrder, recordKind } from '../launcher/record';
import { closedError, type Message } from '../launcher/session';
import { type Watchdog, watchdogFor } from '../monitor/limit-watch';
import { StatsSource, withEgress } from '../monitor/source';
import type { Stats } from '../monitor/stats';
import { type StuckProcess, StuckWatch } from '../monitor/stuck';
import type { ParsedOptions } from '../options/options';
import { factsError, kernelFacts } from '../report/kernel-facts';
import type { RunEvents } from '../run/link';
import type { Run } from '../run/run';
import { close } from '../sys/file';
import { Pauser } from './pause';
import { Programs } from './programs';
import { updateLimits } from './update';

const pollMs = 5;
const everyone = 0xffffffff; // every process of the sandbox

/** A sandbox that is ready for programs. */
export interface Opened {
  readonly record: LaunchRecord;
  /** A descriptor for each namespace; they stay open until the sandbox has ended. */
  readonly namespaces: Readonly<Record<NamespaceType, number>>;
  /** Descriptors of directories of the sandbox, by the numbers in `folderFd`. */
  readonly folders: ReadonlyMap<number, number>;
}

/** A long-lived launcher, whose init starts programs on request. */
export class Resident {
  readonly opened: Promise<Opened>;
  /** Settles when everything of the sandbox is gone. */
  readonly ended: Promise<void>;
  readonly outcome: Outcome;
  readonly started: Started;
  private readonly source: StatsSource;
  private readonly stuck: StuckWatch;
  /** Called with processes that still exist a second after the sandbox was killed. */
  onStuck?: (found: readonly StuckProcess[]) => void;
  /** Called with each egress event. */
  onEgress?: (event: EgressEvent) => void;
  private watchdog: Watchdog | undefined;
  /** The limits that are in force now. */
  limits: LimitsSpec;
  private readonly folders = new Map<number, number>();
  private readonly programs: Programs;
  readonly pauser: Pauser;
  private isOpen = false;
  private isClosing = false;
  private resolveOpened!: (opened: Opened) => void;
  private rejectOpened!: (error: Error) => void;
  private resolveEnded!: () => void;

  /** Throws the error that kept the launcher from starting. */
  constructor(private current: Spec) {
    this.opened = new Promise((resolve, reject) => {
      this.resolveOpened = resolve;
      this.rejectOpened = reject;
    });
    this.opened.catch(() => {});
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    this.started = start({ spec: current, program: { candidates: [], argv: ['sandbox'], env: {}, stdio: [] } }, 'sandbox');
    this.outcome = new Outcome(this.started.plan, ['sandbox']);
    this.limits = bare({ ...current.limits, ...this.context.cgroups.limits });
    this.programs = new Programs(this);
    this.pauser = new Pauser(this.started, current.namespaces.pid, () => this.usable);
    this.source = new StatsSource(this.context, this.started.session.pid, hasOwnNetwork(current));
    this.started.network?.connect(
      () => this.source.initPid,
      (event) => this.onEgress?.(event),
    );
    this.stuck = new StuckWatch(
      this.outcome,
      () => this.source.initPid,
      (found) => this.onStuck?.(found),
    );
    try {
      follow(this.started, {
        outcome: this.outcome,
        launcherPath: current.launcherPath,
        take: (message) => this.take(message),
        gone: () => this.onGone(),
      });
    } catch (error) {
      this.started.network?.close();
      throw error;
    }
  }

  /** Parsed options of the sandbox, including mounts added since it was opened. */
  get spec(): Spec {
    return this.current;
  }

  /** Records a mount that was added while the sandbox runs. */
  addMount(mount: MountSpec): void {
    this.current = Object.freeze(bare({ ...this.spec, mounts: Object.freeze([...this.spec.mounts, mount]) }));
  }

  get context(): Started['context'] {
    return this.started.context;
  }

  /** False once the sandbox is closing or has ended by itself. */
  get usable(): boolean {
    return this.isOpen && !this.isClosing;
  }

  /** Pid of init on this host; undefined once it is gone. */
  get initPid(): number | undefined {
    return this.source.initPid;
  }

  /** Name of the sandbox's cgroups; undefined where it has none. */
  get groupName(): string | undefined {
    const [folder = this.context.freezer?.folder] = foldersOf(this.context.cgroups.folders);
    return folder?.slice(folder.lastIndexOf('/') + 1);
  }

  /** Why the sandbox ended; valid once it has. */
  get reason(): Reason {
    const { stopped, ended, oomKills } = this.outcome;
    // An OOM kill of one process ends the whole sandbox only if `oomGroup` is set.
    return stopped ?? (!ended ? 'launcher' : this.limits.oomGroup && oomKills > 0 ? 'oom' : 'killed');
  }

  /** Starts a program. Throws the error that kept the request from being sent. */
  spawn(parsed: ParsedOptions, events: RunEvents): Run {
    if (!this.usable) throw closedError();
    return this.programs.start(parsed, events);
  }

  /** Returns the current usage of the whole sandbox, or undefined once it is gone. */
  stats(): Stats | undefined {
    const stats = this.usable ? withEgress(this.source.read(this.limits), this.started.network) : undefined;
    if (!stats || this.outcome.nestedKills === 0) return stats;
    return { ...stats, memory: { ...stats.memory, oomKills: (stats.memory.oomKills ?? 0) + this.outcome.nestedKills } };
  }

  /**
   * Changes limits of the sandbox's cgroups while it runs. Throws NsError ERR_NSJS_UNSUPPORTED or a SysError; in that
   * case nothing has changed.
   */
  update(changes: LimitsSpec): void {
    if (!this.usable) throw closedError();
    this.limits = updateLimits(this.context.cgroups, this.limits, changes);
  }

  /** Stops every process of the sandbox or resumes them. Calls that overlap are carried out one after the other. */
  setPaused(paused: boolean): Promise<void> {
    return this.pauser.set(paused);
  }

  /** Sends SIGTERM to every process and waits until no program is left, at most `grace` ms. */
  async terminate(grace: number): Promise<void> {
    await this.setPaused(false).catch(() => {});
    if (this.spec.namespaces.pid) this.started.session.signal(constants.signals.SIGTERM, everyone);
    else this.programs.signal(constants.signals.SIGTERM);
    const end = performance.now() + grace;
    while (this.programs.size > 0 && this.usable && performance.now() < end) await pause(pollMs);
  }

  /** Kills every process of the sandbox. Settles when everything of it is gone. */
  close(): Promise<void> {
    if (!this.isClosing) {
      this.isClosing = true;
      this.holdLoop();
      this.programs.endFor('killed');
      this.outcome.stopped ??= 'killed';
      this.started.session.kill();
    }
    return this.ended;
  }

  // An idle sandbox does not keep the event loop alive; one that is opening, closing or has programs does.
  holdLoop(): void {
    this.started.session.ref(!this.isOpen || this.isClosing || this.programs.holdsLoop);
  }

  private take({ record, pid, fds }: Message): void {
    if (this.programs.feed(record, pid, fds)) return;
    if (record.kind === recordKind.opened) this.onOpened(record, fds);
    else if (record.kind === recordKind.fd && record.program === 0 && fds[0] !== undefined) {
      this.folders.set(record.status, fds[0]);
      this.started.session.hold(fds);
    } else {
      for (const fd of fds) close(fd);
      if (record.program === 0) this.outcome.feed(record);
    }
  }

  private onOpened(record: LaunchRecord, fds: readonly number[]): void {
    this.started.session.hold(fds);
    if (this.isClosing) return;
    this.isOpen = true;
    const error = factsError(this.spec, kernelFacts(this.outcome.facts), this.limits);
    if (error) {
      this.rejectOpened(error);
      void this.close();
      return;
    }
    this.started.network?.started();
    this.watch();
    const namespaces = Object.fromEntries(namespaceOrder.map((type, index) => [type, fds[index] ?? -1])) as Opened['namespaces'];
    this.resolveOpened({ record, namespaces, folders: this.folders });
    this.holdLoop();
  }

  private watch(): void {
    this.watchdog = watchdogFor(
      this.spec.limits,
      this.context.cgroups,
      { stats: () => this.stats(), held: () => this.source.held(), runs: () => this.source.runs(), sockets: () => this.source.sockets() },
      (overrun) => {
        this.outcome.stopped ??= overrun === 'memory' ? 'oom' : 'timeout';
        if (overrun !== 'memory') this.outcome.timeLimit ??= overrun;
        this.started.session.kill();
      },
    );
  }

  private onGone(): void {
    const wasOpen = this.isOpen;
    this.isOpen = false;
    this.isClosing = true;
    this.watchdog?.stop();
    this.stuck.stop();
    this.source.close();
    this.started.network?.close();
    const { reason } = this;
    // If the launcher died, the kernel killed the programs and nothing has reported a reason.
    if (reason !== 'launcher') this.programs.endFor(reason, this.outcome.timeLimit);
    this.programs.drop();
    this.started.session.dropHeld();
    if (!wasOpen) this.rejectOpened(this.outcome.openError() ?? closedError());
    this.resolveEnded();
  }
}
