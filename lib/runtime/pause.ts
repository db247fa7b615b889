import { NsError } from '../base/errors';
import { setFrozen } from '../cgroup/freezer';
import type { Launched } from '../launcher/launch';
import { closedError } from '../launcher/session';

/**
 * Stops every process of a long-lived sandbox and resumes them. Calls that overlap are carried out one after the other.
 */
export class Pauser {
  private pausing: Promise<void> = Promise.resolve();
  // A task in uninterruptible sleep can delay a pause indefinitely; resuming ends that wait.
  private wanted = false;

  constructor(
    private readonly launched: Launched,
    private readonly hasPidNamespace: boolean,
    private readonly isUsable: () => boolean,
  ) {}

  /** Whether the sandbox is paused, or is about to be. */
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
    const { freezer } = this.launched.context;
    if (!freezer && !this.hasPidNamespace)
      throw new NsError('ERR_NSJS_UNSUPPORTED', 'pausing needs a cgroup freezer or a new pid namespace, and the sandbox has neither', {
        hint: 'see `nsjs probe` for cgroup',
      });
    if (freezer) await setFrozen(freezer, paused, () => this.isUsable() && this.wanted === paused);
    else this.launched.session.pause(paused);
    if (!this.isUsable()) throw closedError();
  }
}
