import { clearImmediate, clearTimeout, setImmediate, setTimeout } from 'node:timers';
/**
 * Timers that are cleared together. None keeps the event loop alive: the session does, as long as there is something to
 * time. After a blocked event loop, timers would fire before pending messages; each one therefore acts only after those
 * were read.
 */
export class Timers {
  private readonly running = new Set<NodeJS.Timeout>();
  private readonly due = new Set<NodeJS.Immediate>();

  after(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.running.delete(timer);
      const immediate = setImmediate(() => {
        this.due.delete(immediate);
        act();
      });
      this.due.add(immediate);
    }, ms);
    timer.unref();
    this.running.add(timer);
  }

  clear(): void {
    for (const timer of this.running) clearTimeout(timer);
    this.running.clear();
    for (const immediate of this.due) clearImmediate(immediate);
    this.due.clear();
  }
}
