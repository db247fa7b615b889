import { channel } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import { clearInterval, setInterval } from 'node:timers';
import { setTimeout as pause } from 'node:timers/promises';
import { newAbortController } from '../base/abort-controller';
import { monotonic } from '../base/clock';
import { asMicrotask } from '../base/microtask';
import { parseInteger, parseObject, parseSignal } from '../base/parse';
import { deltaOf, type LimitEvent, LimitWatch, type MonitorSample, type Stats } from './stats';

/** Options of `monitor`. */
export interface MonitorOptions {
  /** Interval between two samples in ms, at least 10. Default: 1000. */
  readonly interval?: number;
  /** Stops the monitor when aborted, as closing the sandbox does. */
  readonly signal?: AbortSignal;
}

const samples = channel('nsjs:stats');
const limits = channel('nsjs:limit');

/**
 * Takes samples until none is available or `signal` is aborted. Each sample is also published to the diagnostics
 * channel `nsjs:stats`.
 */
export function monitor(
  id: string,
  read: () => Stats | undefined,
  closed: AbortSignal,
  options: MonitorOptions | undefined,
): AsyncGenerator<MonitorSample> {
  const given = parseObject(options ?? {}, '', ['interval', 'signal']);
  const interval = given.interval === undefined ? 1000 : parseInteger(given.interval, 'interval', 10, 2 ** 31 - 1);
  const signal = given.signal === undefined ? undefined : parseSignal(given.signal);
  return sample(id, read, interval, signal ? either(closed, signal) : closed);
}

function either(closed: AbortSignal, signal: AbortSignal): AbortSignal {
  // The global class may be another one. AbortSignal.any() does not accept a signal of another class or realm.
  const Signal = closed.constructor as typeof AbortSignal;
  if (signal instanceof Signal) return Signal.any([closed, signal]);
  const both = newAbortController();
  for (const one of [closed, signal])
    if (one.aborted) both.abort();
    else one.addEventListener('abort', () => both.abort(), { once: true });
  return both.signal;
}

async function* sample(id: string, read: () => Stats | undefined, interval: number, signal: AbortSignal) {
  let before = read();
  let at = monotonic();
  while (before) {
    // An abort ends the pause early. This is not an error.
    await pause(interval, undefined, { signal }).catch(() => {});
    const after = signal.aborted ? undefined : read();
    const now = monotonic();
    if (after) {
      const found = Object.freeze({ ...after, delta: deltaOf(before, after, now - at) });
      if (samples.hasSubscribers) samples.publish({ sandbox: id, sample: found });
      yield found;
    }
    before = after;
    at = now;
  }
}

const pollMs = 200;

/** Polls for limits that have been reached, as long as there is a listener. */
export class LimitPoll {
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;
  private readonly watch = new LimitWatch();

  constructor(
    private readonly id: () => string,
    private readonly read: () => Stats | undefined,
    private readonly high: () => number | undefined,
    private readonly tell: (event: LimitEvent) => void,
  ) {}

  /** Whether the diagnostics channel for the events of all sandboxes, `nsjs:limit`, has a subscriber. */
  static isObserved(): boolean {
    return limits.hasSubscribers;
  }

  /** Polls as long as the event `limit` has a listener. */
  follow(events: EventEmitter<{ limit: [event: LimitEvent] }> | EventEmitter): void {
    const emitter = events as EventEmitter;
    emitter.on('newListener', (name) => {
      if (name === 'limit') this.start();
    });
    emitter.on('removeListener', (name) => {
      if (name === 'limit' && emitter.listenerCount('limit') === 0 && !LimitPoll.isObserved()) this.stop();
    });
  }

  start(): void {
    if (this.timer || this.isClosed) return;
    // The listener that causes this call is added only after it returns.
    asMicrotask(() => this.timer && this.look());
    this.timer = setInterval(() => this.look(), pollMs);
    this.timer.unref();
  }

  /** Stops polling permanently. */
  close(): void {
    this.isClosed = true;
    this.stop();
  }

  private stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private look(): void {
    const stats = this.read();
    if (!stats) return;
    for (const event of this.watch.next(stats, this.high())) {
      if (limits.hasSubscribers) limits.publish({ sandbox: this.id(), event });
      this.tell(event);
    }
  }
}
