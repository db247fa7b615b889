import { channel } from '../native';
import type { ParsedOptions } from './options';
import { type Link, Run, type RunEvents } from './run';
import { openCleanup, type Started, start } from './start';

/** Starts a program in a sandbox of its own: both end together. Throws what kept the launcher from starting. */
export function startSolo(parsed: ParsedOptions, events: RunEvents): Run {
  return new Solo(parsed, events).run;
}

class Solo implements Link {
  readonly session: Started['session'];
  readonly plan: Started['plan'];
  readonly scene: Started['scene'];
  readonly ours: Started['ours'];
  readonly run: Run;

  constructor(
    private readonly parsed: ParsedOptions,
    events: RunEvents,
  ) {
    ({ session: this.session, plan: this.plan, scene: this.scene, ours: this.ours } = start(parsed));
    this.run = new Run(parsed, events, this);
    this.session.adopt();
    try {
      this.session.watch((which) => this.onReadable(which));
    } catch (error) {
      for (const stream of this.run.streams) stream?.destroy();
      throw error;
    }
  }

  signal(number: number): void {
    this.session.signal(number);
  }

  end(): void {
    this.session.kill();
  }

  ref(on: boolean): void {
    this.session.ref(on);
  }

  // The sandbox is gone when its keeper says so: every process reaped, the control group removed. What the keeper still
  // holds, the mount namespace, ends with it a moment later and keeps nobody waiting.
  private onReadable(which: number): void {
    const keeperEnded = which === channel.keeperEnd;
    this.read(keeperEnded ? channel.control : which);
    const cleaned = this.run.outcome.ended?.err === 0;
    if (keeperEnded || cleaned) this.read(channel.init);
    if (keeperEnded) this.session.close();
    if (cleaned) this.run.onGone();
    else if (keeperEnded) cleanUp(this, this.parsed.spec.launcherPath, () => this.run.onGone());
  }

  private read(which: number): void {
    for (const { record, pid, fds } of this.session.messages(which)) this.run.feed(record, pid, fds);
  }
}

/** The keeper was killed or could not clean up: another launcher does it. */
export function cleanUp({ plan }: Started, launcherPath: string | undefined, done: () => void): void {
  const session = openCleanup(plan, launcherPath);
  if (!session) {
    done();
    return;
  }
  session.watch((which) => {
    for (const _ of session.messages(which));
    if (which !== channel.keeperEnd) return;
    session.close();
    done();
  });
}
