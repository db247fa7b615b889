import { NsError } from '../base/errors';
import { channel } from '../native/addon';
import type { LaunchPlan } from '../plan/writer';
import { closeLauncher, openLauncher } from './image';
import { Outcome } from './outcome';
import { Session } from './session';

/**
 * Runs a plan that starts no program: a launcher carries out the section `host` and exits. Rejects with the error of
 * the operation that failed.
 */
export function runHost(plan: LaunchPlan, launcherPath: string | undefined): Promise<void> {
  const launcher = openLauncher(launcherPath);
  try {
    const session = new Session(plan, launcher, undefined);
    const outcome = new Outcome(plan, []);
    return new Promise((resolve, reject) => {
      session.watch((which) => {
        const isEnd = which === channel.keeperEnd;
        for (const { record } of session.messages(isEnd ? channel.control : which)) outcome.feed(record);
        if (!isEnd) return;
        session.close();
        const error = outcome.failure ?? (outcome.ended ? undefined : new NsError('ERR_NSJS_LAUNCHER', 'the launcher was killed'));
        if (error) reject(error);
        else resolve();
      });
    });
  } finally {
    closeLauncher(launcher);
  }
}
