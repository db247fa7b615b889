import { channel } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import { clearInterval, setInterval } from 'node:timers';
import { setTimeout as pause } from 'node:timers/promises';
import { parseInteger, parseObject, parseSignal } from '../base/parse';
import { deltaOf, type LimitEvent, LimitWatch, type MonitorSample, type Stats } from './stats';

/** Options of `monitor`. */
export interface MonitorOptions {
  /** ms from one sample to the next, 10 at least. Default 1000. */
  readonly interval?: number;
  /** Ends it, as closing the sandbox does. */
  readonly signal?: AbortSignal;
}

const samples = channel('nsjs:stats');
const limits = channel('nsjs:limit');

/** Takes samples until there are none, or `signal` is aborted. Each goes to the diagnostics channel `nsjs:stats` as well. */
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
  if (signal instanceof AbortSignal) return AbortSignal.any([closed, signal]);
  // Of another realm, where AbortSignal.any() does not know it.
  const both = new AbortController();
  for (const one of [closed, signal])
    if (one.aborted) both.abort();
    else one.addEventListener('abort', () => both.abort(), { once: true });
  return both.signal;
}

async function* sample(id: string, read: () => Stats | undefined, interval: number, signal: AbortSignal) {
  let before = read();
  let at = performance.now();
  while (before) {
    // Ends early with the signal; that is no error.
    await pause(interval, undefined, { signal }).catch(() => {});
    const after = signal.aborted ? undefined : read();
    const now = performance.now();
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

/** Looks for limits that are met, as long as somebody listens. */
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

  /** Whether somebody listens for what all sandboxes meet. */
  static isObserved(): boolean {
    return limits.hasSubscribers;
  }

  /** Looks as long as somebody listens to `limit`. */
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
    // Whoever starts it by listening is not yet there.
    queueMicrotask(() => this.timer && this.look());
    this.timer = setInterval(() => this.look(), pollMs);
    this.timer.unref();
  }

  /** There is nothing to look at any more. */
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
