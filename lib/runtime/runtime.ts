import { constants } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { monotonic } from '../base/clock';
import { type Deferred, deferred } from '../base/deferred';
import { bare } from '../base/parse';
import { directoriesOf } from '../cgroup/layout';
import type { LimitsSpec } from '../cgroup/limits';
import type { EgressEvent } from '../features/egress-events';
import type { NamespaceType } from '../features/namespaces';
import type { MountSpec } from '../features/root/mounts';
import type { Spec } from '../features/spec';
import { Instance } from '../launcher/instance';
import { type Launched, launch } from '../launcher/launch';
import { Outcome, type Reason } from '../launcher/outcome';
import { type LaunchRecord, namespaceOrder, recordKind } from '../launcher/record';
import { closedError, type Message } from '../launcher/session';
import type { Stats } from '../monitor/stats';
import type { StuckProcess } from '../monitor/stuck';
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
  /** Descriptors of directories of the sandbox, by the numbers in `directoryFd`. */
  readonly directories: ReadonlyMap<number, number>;
}

/** A long-lived launcher, whose init starts programs on request. */
export class Runtime {
  private readonly instance: Instance;
  /** Called with processes that still exist a second after the sandbox was killed. */
  onStuck?: (found: readonly StuckProcess[]) => void;
  /** Called with each egress event. */
  onEgress?: (event: EgressEvent) => void;
  /** The limits that are in force now. */
  limits: LimitsSpec;
  private readonly directories = new Map<number, number>();
  private readonly programs: Programs;
  readonly pauser: Pauser;
  private readonly opening: Deferred<Opened> = deferred();
  private readonly end: Deferred<void> = deferred();
  private state: 'opening' | 'open' | 'closing' | 'over' = 'opening';

  /** Throws the error that kept the launcher from starting. */
  constructor(private current: Spec) {
    this.opened.catch(() => {});
    const launched = launch({ spec: current, program: { candidates: [], argv: ['sandbox'], env: {}, stdio: [] } }, 'sandbox');
    this.instance = new Instance(launched, new Outcome(launched.plan, ['sandbox']), current);
    this.limits = bare({ ...current.limits, ...this.context.cgroups.limits });
    this.programs = new Programs(this);
    this.pauser = new Pauser(launched, current.namespaces.pid, () => this.usable);
    this.instance.connect({ egress: (event) => this.onEgress?.(event), stuck: (found) => this.onStuck?.(found) });
    this.instance.follow({ take: (message) => this.take(message), gone: () => this.onGone() });
  }

  /** Settles when the sandbox is ready for programs; rejects with the error that prevented it. */
  get opened(): Promise<Opened> {
    return this.opening.promise;
  }

  /** Settles when everything of the sandbox is gone. */
  get ended(): Promise<void> {
    return this.end.promise;
  }

  get launched(): Launched {
    return this.instance.launched;
  }

  get outcome(): Outcome {
    return this.instance.outcome;
  }

  /** Parsed options of the sandbox, including mounts added since it was opened. */
  get spec(): Spec {
    return this.current;
  }

  /** Records a mount that was added while the sandbox runs. */
  addMount(mount: MountSpec): void {
    this.current = Object.freeze(bare({ ...this.spec, mounts: Object.freeze([...this.spec.mounts, mount]) }));
  }

  get context(): Launched['context'] {
    return this.launched.context;
  }

  /** False once the sandbox is closing or has ended by itself. */
  get usable(): boolean {
    return this.state === 'open';
  }

  /** Pid of init on this host; undefined once it is gone. */
  get initPid(): number | undefined {
    return this.instance.initPid;
  }

  /** Name of the sandbox's cgroups; undefined where it has none. */
  get groupName(): string | undefined {
    const [directory = this.context.freezer?.directory] = directoriesOf(this.context.cgroups.directories);
    return directory?.slice(directory.lastIndexOf('/') + 1);
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
    const stats = this.usable ? this.instance.stats(this.limits) : undefined;
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
    if (this.spec.namespaces.pid) this.launched.session.signal(constants.signals.SIGTERM, everyone);
    else this.programs.signal(constants.signals.SIGTERM);
    const end = monotonic() + grace;
    while (this.programs.size > 0 && this.usable && monotonic() < end) await pause(pollMs);
  }

  /** Kills every process of the sandbox. Settles when everything of it is gone. */
  close(): Promise<void> {
    if (this.state === 'opening' || this.state === 'open') {
      this.state = 'closing';
      this.holdLoop();
      this.programs.endFor('killed');
      this.outcome.killedBy('killed');
      this.launched.session.kill();
    }
    return this.ended;
  }

  // An idle sandbox does not keep the event loop alive; one that is opening, closing or has programs does.
  holdLoop(): void {
    this.launched.session.ref(!this.usable || this.programs.holdsLoop);
  }

  private take({ record, pid, fds }: Message): void {
    if (this.programs.feed(record, pid, fds)) return;
    if (record.kind === recordKind.opened) this.onOpened(record, fds);
    else if (record.kind === recordKind.fd && record.program === 0 && fds[0] !== undefined) {
      this.directories.set(record.status, fds[0]);
      this.launched.session.hold(fds);
    } else {
      for (const fd of fds) close(fd);
      if (record.program === 0) this.outcome.feed(record);
    }
  }

  private onOpened(record: LaunchRecord, fds: readonly number[]): void {
    this.launched.session.hold(fds);
    if (this.state !== 'opening') return;
    this.state = 'open';
    const error = factsError(this.spec, kernelFacts(this.outcome.facts), this.limits);
    if (error) {
      this.opening.reject(error);
      void this.close();
      return;
    }
    this.instance.began(
      () => this.stats(),
      (overrun) => {
        this.outcome.limitReached(overrun);
        this.launched.session.kill();
      },
    );
    const namespaces = Object.fromEntries(namespaceOrder.map((type, index) => [type, fds[index] ?? -1])) as Opened['namespaces'];
    this.opening.resolve({ record, namespaces, directories: this.directories });
    this.holdLoop();
  }

  private onGone(): void {
    this.state = 'over';
    this.instance.close();
    const { reason } = this;
    // If the launcher died, the kernel killed the programs and nothing has reported a reason.
    if (reason !== 'launcher') this.programs.endFor(reason, this.outcome.timeLimit);
    this.programs.drop();
    this.launched.session.dropHeld();
    // Without effect if the sandbox was open.
    this.opening.reject(this.outcome.openError() ?? closedError());
    this.end.resolve();
  }
}
