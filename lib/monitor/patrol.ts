import { setTimeout } from 'node:timers';
import { monotonic } from '../base/clock';

/** Checks take at most this share of the event loop's time, and at most `sliceMs` of it in one turn. */
const share = 1 / 5;
const sliceMs = 4;

/** An object that must be checked repeatedly. */
interface Post {
  look(): void;
}

/**
 * Checks each post every `periodMs`, or less often if the checks would take too much of the event loop's time. With a
 * thousand sandboxes they take turns, and the one that has waited longest comes first.
 */
export class Patrol {
  // In the order in which they are due.
  private readonly dueAt = new Map<Post, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly periodMs: number) {}

  add(post: Post): void {
    this.dueAt.set(post, monotonic() + this.periodMs);
    this.timer ??= this.wake(this.periodMs);
  }

  remove(post: Post): void {
    this.dueAt.delete(post);
  }

  private wake(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.round(), ms).unref();
  }

  private round(): void {
    const start = monotonic();
    let now = start;
    try {
      for (const [post, dueAt] of this.dueAt) {
        if (dueAt > now || now - start >= sliceMs) break;
        this.dueAt.delete(post);
        this.dueAt.set(post, now + this.periodMs);
        post.look();
        now = monotonic();
      }
    } finally {
      const [next] = this.dueAt.values();
      const rest = (monotonic() - start) * (1 / share - 1);
      this.timer = next === undefined ? undefined : this.wake(Math.max(next - monotonic(), rest));
    }
  }
}
