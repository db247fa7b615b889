import { channel } from 'node:diagnostics_channel';
import { EventEmitter, setMaxListeners } from 'node:events';
import { NsError, OptionError } from '../base/errors';
import type { LimitsSpec } from '../cgroup/limits';
import type { EgressEvent } from '../features/egress-events';
import { type Limits, parseLimits } from '../features/limits';
import type { Reason } from '../launcher/outcome';
import { LimitPoll, type MonitorOptions, monitor } from '../monitor/monitor';
import type { LimitEvent, MonitorSample, Stats } from '../monitor/stats';
import type { StuckProcess } from '../monitor/stuck';
import { type LimitsMet, makeUsage, type Usage } from '../report/result';
import type { Resident } from '../runtime/runtime';

/** How a sandbox ended, and what all of it used. */
export interface SandboxEnd {
  /** `killed` where it was closed; `timeout` and `oom` for limits that hold for all of it; `supervisor` if its launcher was killed. */
  readonly reason: Reason;
  /** From when it was open, in ms. */
  readonly durationMs: number;
  readonly usage: Usage;
  readonly limits: LimitsMet;
}

/** Events of {@link Sandbox.events}. */
export interface SandboxEvents {
  /** A limit was met, or almost; looked for five times a second while somebody listens. */
  limit: [event: LimitEvent];
  /** Killed a second ago, and in uninterruptible sleep: it ends when the kernel lets it. */
  stuck: [processes: readonly StuckProcess[]];
  /** Egress, with `network: {egress}`: at most 200 events a second for allowed traffic, and a separate 200 for lookups and for denied traffic. */
  egress: [event: EgressEvent];
  /** Everything of it is gone. */
  close: [end: SandboxEnd];
}

const opened = channel('nsjs:sandbox:open');
const closed = channel('nsjs:sandbox:close');
const live = new Set<SandboxResources>();

/** Those of this process that are open. */
export const liveSandboxes = (): readonly SandboxResources[] => [...live];

// They hold for a sandbox from its start, or for each process.
const fixed = ['wallTime', 'cpuTime', 'idle', 'fileSize', 'openFiles'] as const;

/** What a sandbox uses, and what it may use. */
export abstract class SandboxResources {
  /** `limit` and `close`. */
  readonly events = new EventEmitter<SandboxEvents>();
  /** Settles when everything of it is gone, however it ended. */
  readonly ended: Promise<SandboxEnd>;
  /** When it was open, in ms since the epoch. */
  readonly openedAt = Date.now();
  private readonly gone = new AbortController();

  protected constructor(
    /** Name of its cgroups, where it has some; unique on this machine in any case. */
    readonly id: string,
    protected readonly resident: Resident,
  ) {
    const poll = new LimitPoll(
      () => id,
      () => resident.stats(),
      () => resident.limits.memoryHigh,
      (event) => this.events.emit('limit', event),
    );
    poll.follow(this.events);
    if (LimitPoll.isObserved()) poll.start();
    resident.onStuck = (found) => this.events.emit('stuck', found);
    resident.onEgress = (event) => this.events.emit('egress', event);
    setMaxListeners(0, this.gone.signal);
    live.add(this);
    if (opened.hasSubscribers) opened.publish({ sandbox: this });
    this.ended = resident.ended.then(() => {
      poll.close();
      this.gone.abort();
      return this.tellEnd();
    });
  }

  private tellEnd(): SandboxEnd {
    live.delete(this);
    const { reason, outcome } = this.resident;
    const end = Object.freeze({ reason, durationMs: Date.now() - this.openedAt, ...makeUsage(outcome) });
    if (closed.hasSubscribers) closed.publish({ sandbox: this, end });
    // Outside of the promise: a listener that throws is not its end.
    process.nextTick(() => this.events.emit('close', end));
    return end;
  }

  /** Limits that hold for all of it now, as they were read: bytes and ms. */
  get limits(): LimitsSpec {
    return Object.freeze({ ...this.resident.limits });
  }

  /** What all of it uses now; costs some 100 µs. Throws NsError ERR_NSJS_CLOSED once it is closed. */
  stats(): Stats {
    const stats = this.resident.stats();
    if (!stats) throw new NsError('ERR_NSJS_CLOSED', 'the sandbox is closed', { hint: 'open another one' });
    return stats;
  }

  /**
   * Samples until it is closed, or `signal` is aborted, each with what has changed since the one before. Samples go to the diagnostics
   * channel `nsjs:stats` as well. Throws OptionRangeError for an interval below 10 ms.
   */
  monitor(options?: MonitorOptions): AsyncIterableIterator<MonitorSample> {
    return monitor(this.id, () => this.resident.stats(), this.gone.signal, options);
  }

  /**
   * Changes limits of its cgroups while it runs; others stay as they are. The kernel takes memory back to come below a lower limit, and
   * kills where it can't (version 2), or refuses it with EBUSY (version 1). Throws OptionError for limits that hold from the start
   * (`wallTime`, `cpuTime`, `idle`) or for each process, NsError ERR_NSJS_UNSUPPORTED where it has no such group, a SysError if the
   * kernel refuses one of them: then all is as before. ERR_NSJS_CLOSED once it is closed.
   */
  update(limits: Limits): void {
    const changes = parseLimits(limits, 'limits');
    const stray = fixed.find((name) => changes[name] !== undefined);
    if (stray !== undefined)
      throw new OptionError(`limits.${stray}`, 'holds from the start of a program: give it to Sandbox.open or to spawn');
    this.resident.update(changes);
  }
}
