/** Timers that end together. None keeps the loop alive: the session does, as long as there is something to time. */
export class Timers {
  private readonly running = new Set<NodeJS.Timeout>();

  after(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.running.delete(timer);
      act();
    }, ms);
    timer.unref();
    this.running.add(timer);
  }

  clear(): void {
    for (const timer of this.running) clearTimeout(timer);
    this.running.clear();
  }
}
