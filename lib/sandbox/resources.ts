import { channel } from 'node:diagnostics_channel';
import { EventEmitter, setMaxListeners } from 'node:events';
import { newAbortController } from '../base/abort-controller';
import { NsError, OptionError } from '../base/errors';
import { asMicrotask } from '../base/microtask';
import type { LimitsSpec } from '../cgroup/limits';
import type { EgressEvent } from '../features/egress-events';
import { type Limits, parseLimits } from '../features/limits';
import type { Reason } from '../launcher/outcome';
import { LimitPoll, type MonitorOptions, monitor } from '../monitor/monitor';
import type { LimitEvent, MonitorSample, Stats } from '../monitor/stats';
import type { StuckProcess } from '../monitor/stuck';
import { type LimitsMet, makeUsage, type Usage } from '../report/result';
import type { Runtime } from '../runtime/runtime';

/** How a sandbox ended, and the resources that the whole sandbox used. */
export interface SandboxEnd {
  /**
   * `killed` if it was closed; `timeout` or `oom` for limits of the whole sandbox; `launcher` if its launcher was
   * killed.
   */
  readonly reason: Reason;
  /** Time since the sandbox was opened, in ms. */
  readonly durationMs: number;
  readonly usage: Usage;
  readonly limits: LimitsMet;
}

/** Events of {@link Sandbox.events}. */
export interface SandboxEvents {
  /** A limit was reached, or nearly. Checked five times per second while there is a listener. */
  limit: [event: LimitEvent];
  /**
   * Processes in uninterruptible sleep that still exist a second after the sandbox was killed. They end when the kernel
   * lets them.
   */
  stuck: [processes: readonly StuckProcess[]];
  /**
   * Egress, with `network: {egress}`: at most 200 events per second each for allowed traffic, for lookups of allowed
   * names, and for denied lookups and connections.
   */
  egress: [event: EgressEvent];
  /** Everything of the sandbox is gone. */
  close: [end: SandboxEnd];
}

const opened = channel('nsjs:sandbox:open');
const closed = channel('nsjs:sandbox:close');
const live = new Set<SandboxResources>();

/** Returns the open sandboxes of this process. */
export const liveSandboxes = (): readonly SandboxResources[] => [...live];

// Limits that cannot be changed later: they apply from the start of a sandbox, or to each process.
const fixed = ['wallTime', 'cpuTime', 'idle', 'fileSize', 'openFiles'] as const;

/** Resource usage and limits of a sandbox. */
export abstract class SandboxResources {
  /** Emits the events of {@link SandboxEvents}. */
  readonly events = new EventEmitter<SandboxEvents>();
  /** Settles when everything of the sandbox is gone, however it ended. */
  readonly ended: Promise<SandboxEnd>;
  /** When the sandbox was opened, in ms since the epoch. */
  readonly openedAt = Date.now();
  private readonly gone = newAbortController();

  /** @internal */
  protected constructor(
    /** Name of the sandbox's cgroups, if it has any; in any case unique on this machine. */
    readonly id: string,
    /** @internal */
    protected readonly runtime: Runtime,
  ) {
    const poll = new LimitPoll(
      () => id,
      () => runtime.stats(),
      () => runtime.limits.memoryHigh,
      (event) => this.events.emit('limit', event),
    );
    poll.follow(this.events);
    if (LimitPoll.isObserved()) poll.start();
    runtime.onStuck = (found) => this.events.emit('stuck', found);
    runtime.onEgress = (event) => this.events.emit('egress', event);
    setMaxListeners(0, this.gone.signal);
    live.add(this);
    if (opened.hasSubscribers) opened.publish({ sandbox: this });
    this.ended = runtime.ended.then(() => {
      poll.close();
      this.gone.abort();
      return this.tellEnd();
    });
  }

  private tellEnd(): SandboxEnd {
    live.delete(this);
    const { reason, outcome } = this.runtime;
    const end = Object.freeze({ reason, durationMs: Date.now() - this.openedAt, ...makeUsage(outcome) });
    if (closed.hasSubscribers) closed.publish({ sandbox: this, end });
    // Emitted outside the promise callback, so that a listener that throws does not reject `ended`.
    asMicrotask(() => this.events.emit('close', end));
    return end;
  }

  /** Limits of the whole sandbox that apply now, as parsed: in bytes and ms. */
  get limits(): LimitsSpec {
    return Object.freeze({ ...this.runtime.limits });
  }

  /**
   * Returns the current usage of the whole sandbox; takes about 100 µs. Throws NsError ERR_NSJS_CLOSED once the
   * sandbox is closed.
   */
  stats(): Stats {
    const stats = this.runtime.stats();
    if (!stats) throw new NsError('ERR_NSJS_CLOSED', 'the sandbox is closed', { hint: 'open another one' });
    return stats;
  }

  /**
   * Yields samples until the sandbox is closed or `signal` is aborted, each with the changes since the previous one.
   * Samples are also published to the diagnostics channel `nsjs:stats`. Throws OptionRangeError for an interval below
   * 10 ms.
   */
  monitor(options?: MonitorOptions): AsyncIterableIterator<MonitorSample> {
    return monitor(this.id, () => this.runtime.stats(), this.gone.signal, options);
  }

  /**
   * Changes limits of the sandbox's cgroups while it runs; other limits stay as they are. To get below a lower memory
   * limit the kernel reclaims memory. If it cannot reclaim enough, it kills processes (cgroup version 2) or refuses the
   * limit with EBUSY (version 1). Throws OptionError for limits that apply from the start (`wallTime`, `cpuTime`,
   * `idle`) or to each process, NsError ERR_NSJS_UNSUPPORTED if the sandbox has no cgroup for the limit, and a SysError
   * if the kernel refuses one of the limits; in that case nothing has changed. Throws ERR_NSJS_CLOSED once the sandbox
   * is closed.
   */
  update(limits: Limits): void {
    const changes = parseLimits(limits, 'limits');
    const stray = fixed.find((name) => changes[name] !== undefined);
    if (stray !== undefined)
      throw new OptionError(`limits.${stray}`, 'cannot be changed while the sandbox runs; pass it to Sandbox.open or to spawn');
    this.runtime.update(changes);
  }
}
