import { type Readable, Transform, type Writable } from 'node:stream';
import { clearTimeout, setTimeout } from 'node:timers';
import { monotonic } from '../base/clock';

/** Bytes in each direction; `sent` is from the program. */
export interface Traffic {
  sent: number;
  received: number;
}

/** Counts bytes in both directions; `spent` is true once they exceed the limit. */
export class Meter {
  private readonly total: Traffic = { sent: 0, received: 0 };

  constructor(private readonly maxBytes: number) {}

  get spent(): boolean {
    return this.total.sent + this.total.received > this.maxBytes;
  }

  add(direction: keyof Traffic, bytes: number): void {
    this.total[direction] += bytes;
  }
}

/** A token bucket that fills at `rate` bytes per second. A caller that takes more than it contains has to wait. */
export class Bucket {
  private free: number;
  private at = monotonic();

  constructor(private readonly rate: number) {
    this.free = rate / 10;
  }

  /** Takes bytes from the bucket and returns the ms to wait before they may be passed on. */
  take(bytes: number): number {
    const now = monotonic();
    this.free = Math.min(this.rate / 10, this.free + ((now - this.at) * this.rate) / 1000);
    this.at = now;
    this.free -= bytes;
    return this.free >= 0 ? 0 : (-this.free / this.rate) * 1000;
  }
}

/** Allows a number of events per second. */
export class Budget {
  private since = 0;
  private count = 0;

  constructor(private readonly perSecond: number) {}

  take(): boolean {
    const now = monotonic();
    if (now - this.since >= 1000) {
      this.since = now;
      this.count = 0;
    }
    return ++this.count <= this.perSecond;
  }
}

/** Returns a stream that passes data on at the rate of the bucket. */
export function throttle(bucket: Bucket): Transform {
  let timer: NodeJS.Timeout | undefined;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      const wait = bucket.take(chunk.length);
      if (wait < 1) done(null, chunk);
      else timer = setTimeout(() => done(null, chunk), wait);
    },
    destroy(error, done) {
      clearTimeout(timer);
      done(error);
    },
  });
}

/**
 * Relays one direction, from `from` to `to`, with backpressure, until its end. `count` receives the size of each chunk.
 * Returns a function that undoes it.
 */
export function join(from: Readable, to: Writable, count: (bytes: number) => void, bucket?: Bucket): () => void {
  const onData = (chunk: Buffer) => count(chunk.length);
  from.on('data', onData);
  if (!bucket) {
    from.pipe(to);
    return () => {
      from.off('data', onData);
      from.unpipe(to);
    };
  }
  const slow = throttle(bucket);
  from.pipe(slow).pipe(to);
  const end = () => slow.destroy();
  // Otherwise its timer would keep waiting although nothing can be written any more.
  to.once('close', end);
  return () => {
    from.off('data', onData);
    from.unpipe(slow);
    slow.unpipe(to);
    end();
  };
}
