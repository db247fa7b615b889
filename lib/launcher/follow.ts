import { debuglog } from 'node:util';
import { channel } from '../native/addon';
import { type Launched, openCleanup } from './launch';
import type { Outcome } from './outcome';
import type { Message } from './session';

const debug = debuglog('nsjs');

/** Receives the events of a launcher. */
export interface Follower {
  /** Receives a message and takes ownership of its descriptors. */
  take(message: Message): void;
  /** The sandbox is gone: every process is reaped and its cgroups are removed. */
  gone(): void;
}

/**
 * Reads the records of a launcher until its sandbox is gone, as the keeper's `ended` record reports. The keeper still
 * holds the mount namespace, which ends with it shortly afterwards; nothing waits for that. Throws a SysError if the
 * channels cannot be watched.
 */
export function follow(launched: Launched, outcome: Outcome, launcherPath: string | undefined, follower: Follower): void {
  const { session, forget } = launched;
  const gone = () => {
    forget?.();
    follower.gone();
  };
  const read = (which: number): void => {
    for (const message of session.inOrder(which)) follower.take(message);
  };
  session.watch((which) => {
    const keeperEnded = which === channel.keeperEnd;
    read(keeperEnded ? channel.control : which);
    const cleaned = outcome.ended?.err === 0;
    if (keeperEnded || cleaned) read(channel.init);
    if (keeperEnded) {
      const status = session.close();
      if (!outcome.ended) debug('the keeper has exited without a report: %s', status < 0 ? `signal ${-status}` : `exit status ${status}`);
    }
    if (cleaned) gone();
    else if (keeperEnded) cleanUp(launched, launcherPath, gone);
  });
}

/** The keeper was killed or could not clean up, so another launcher does it. */
function cleanUp({ plan }: Launched, launcherPath: string | undefined, done: () => void): void {
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
