import { setTimeout } from 'node:timers';

/** Looks take this part of the event loop's time at most, and not more than so many ms of it at once. */
const share = 1 / 5;
const sliceMs = 4;

/** What has to be looked at again and again. */
interface Post {
  look(): void;
}

/**
 * Looks at each post every `periodMs`, or less often where that would keep the event loop from its work: a thousand sandboxes take turns,
 * who waited longest comes first.
 */
export class Patrol {
  // In the order in which they are due.
  private readonly dueAt = new Map<Post, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly periodMs: number) {}

  add(post: Post): void {
    this.dueAt.set(post, performance.now() + this.periodMs);
    this.timer ??= this.wake(this.periodMs);
  }

  remove(post: Post): void {
    this.dueAt.delete(post);
  }

  private wake(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.round(), ms).unref();
  }

  private round(): void {
    const start = performance.now();
    let now = start;
    try {
      for (const [post, dueAt] of this.dueAt) {
        if (dueAt > now || now - start >= sliceMs) break;
        this.dueAt.delete(post);
        this.dueAt.set(post, now + this.periodMs);
        post.look();
        now = performance.now();
      }
    } finally {
      const [next] = this.dueAt.values();
      const rest = (performance.now() - start) * (1 / share - 1);
      this.timer = next === undefined ? undefined : this.wake(Math.max(next - performance.now(), rest));
    }
  }
}
