import { debuglog } from 'node:util';
import { channel } from '../native/addon';
import { openCleanup, type Started } from './launch';
import type { Outcome } from './outcome';
import type { Message } from './session';

const debug = debuglog('nsjs');

/** How a launcher is followed. */
export interface Follower {
  readonly outcome: Outcome;
  readonly launcherPath: string | undefined;
  /** A message has come; its descriptors are the follower's. */
  take(message: Message): void;
  /** All of the sandbox is gone: every process reaped, its cgroups removed. */
  gone(): void;
}

/**
 * Reads what a launcher tells until its sandbox is gone, which is when its keeper says so. What the keeper still holds, the mount
 * namespace, ends with it a moment later and keeps nobody waiting. Throws a SysError if the channels can't be watched.
 */
export function follow(started: Started, follower: Follower): void {
  const { session, forget } = started;
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
    const cleaned = follower.outcome.ended?.err === 0;
    if (keeperEnded || cleaned) read(channel.init);
    if (keeperEnded) {
      const status = session.close();
      if (!follower.outcome.ended)
        debug('the keeper has exited without a report: %s', status < 0 ? `signal ${-status}` : `exit status ${status}`);
    }
    if (cleaned) gone();
    else if (keeperEnded) cleanUp(started, follower.launcherPath, gone);
  });
}

/** The keeper was killed or could not clean up: another launcher does it. */
function cleanUp({ plan }: Started, launcherPath: string | undefined, done: () => void): void {
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
