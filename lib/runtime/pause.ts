import { NsError } from '../base/errors';
import { setFrozen } from '../cgroup/freezer';
import type { Started } from '../launcher/launch';
import { closedError } from '../launcher/session';

/** Stops every process of a long-lived sandbox, and lets them go on; one after the other if asked for at once. */
export class Pauser {
  private pausing: Promise<void> = Promise.resolve();
  // A task that sleeps uninterruptibly keeps a pause from being done: going on does not wait for it.
  private wanted = false;

  constructor(
    private readonly started: Started,
    private readonly hasPidNamespace: boolean,
    private readonly isUsable: () => boolean,
  ) {}

  /** Whether init is stopped, or is to be. */
  get isPaused(): boolean {
    return this.wanted;
  }

  /** Rejects with NsError ERR_NSJS_CLOSED, or ERR_NSJS_UNSUPPORTED. */
  set(paused: boolean): Promise<void> {
    if (!this.isUsable()) return Promise.reject(closedError());
    this.wanted = paused;
    const done = this.pausing.then(() => this.apply(paused));
    this.pausing = done.catch(() => {
      if (paused) this.wanted = false;
    });
    return done;
  }

  private async apply(paused: boolean): Promise<void> {
    if (!this.isUsable()) throw closedError();
    const { freezer } = this.started.scene;
    if (!freezer && !this.hasPidNamespace)
      throw new NsError('ERR_NSJS_UNSUPPORTED', 'without a pid namespace only a cgroup can be paused', {
        hint: 'see `nsjs probe` for cgroup',
      });
    if (freezer) await setFrozen(freezer, paused, () => this.isUsable() && this.wanted === paused);
    else this.started.session.pause(paused);
    if (!this.isUsable()) throw closedError();
  }
}
