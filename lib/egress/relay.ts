import { type Readable, Transform, type Writable } from 'node:stream';
import { clearTimeout, setTimeout } from 'node:timers';

/** Bytes that have gone each way; `sent` is from the program. */
export interface Traffic {
  sent: number;
  received: number;
}

/** Counts what passes, and stops it once there was too much. */
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

/** A bucket that fills with the rate: whoever takes more than is in it waits. */
export class Bucket {
  private free: number;
  private at = performance.now();

  constructor(private readonly rate: number) {
    this.free = rate / 10;
  }

  /** ms to wait before the bytes may go on. */
  take(bytes: number): number {
    const now = performance.now();
    this.free = Math.min(this.rate / 10, this.free + ((now - this.at) * this.rate) / 1000);
    this.at = now;
    this.free -= bytes;
    return this.free >= 0 ? 0 : (-this.free / this.rate) * 1000;
  }
}

/** So many times a second. */
export class Budget {
  private since = 0;
  private count = 0;

  constructor(private readonly perSecond: number) {}

  take(): boolean {
    const now = performance.now();
    if (now - this.since >= 1000) {
      this.since = now;
      this.count = 0;
    }
    return ++this.count <= this.perSecond;
  }
}

/** Passes on what the bucket gives. */
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

/** Joins one direction: from `from` to `to`, with backpressure, until its end. `count` receives the size of each chunk. Returns a function that undoes it. */
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
  // It would wait for its time although nobody is left.
  to.once('close', end);
  return () => {
    from.off('data', onData);
    from.unpipe(slow);
    slow.unpipe(to);
    end();
  };
}
