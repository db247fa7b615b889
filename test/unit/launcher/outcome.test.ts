// What the records of one launch add up to, where no run can be made to send them at will.
import { Outcome } from '../../../dist/launcher/outcome';
import { recordKind, unstarted } from '../../../dist/launcher/record';
import { sections } from '../../../dist/plan/operation';

const plan = { passed: [], stdio: [], bytes: () => new Uint8Array(), section: () => [], lastWord: () => 'memory.oom_control' };
const after = sections.indexOf('after');

/** Everything was killed before init could tell that its program had started. */
function endedUnheard(kills: number): Outcome {
  const outcome = new Outcome(plan, ['program']);
  outcome.feed({ ...unstarted, kind: recordKind.text, section: after, text: `oom_kill_disable 0\nunder_oom 0\noom_kill ${kills}\n` });
  outcome.feed({ ...unstarted, kind: recordKind.ended, section: after });
  return outcome;
}

test('init that the kernel kills for lack of memory is lack of memory, and no defect of the launcher', () => {
  expect(endedUnheard(2)).toMatchObject({ stopped: 'oom' });
  expect(endedUnheard(2).openError()).toMatchObject({ code: 'ERR_NSJS_CLOSED', message: expect.stringContaining('limits.memory') });
});

test('a limit of time that is over while what a program left is taken down ended nothing', () => {
  const ended = (...records: readonly number[]): Outcome => {
    const outcome = new Outcome(plan, ['program']);
    for (const kind of records) outcome.feed({ ...unstarted, kind, ...(kind === recordKind.ended ? { cause: 'wallTime' } : { code: 1 }) });
    return outcome;
  };
  expect(ended(recordKind.started, recordKind.exited, recordKind.ended).ending()).toMatchObject({ reason: 'exited', exitCode: 0 });
  expect(ended(recordKind.started, recordKind.ended).ending()).toMatchObject({ reason: 'timeout' });
});

test('of kills that ended programs of a sandbox none ends it', () => {
  const outcome = new Outcome(plan, ['sandbox']);
  outcome.claimKills(2);
  outcome.feed({ ...unstarted, kind: recordKind.text, section: after, text: 'oom_kill 2\n' });
  outcome.feed({ ...unstarted, kind: recordKind.ended, section: after });
  expect(outcome.stopped).toBeUndefined();
});

test('init that ends for no known reason is an error', () => {
  expect(endedUnheard(0).stopped).toBeUndefined();
  expect(endedUnheard(0).setupError()).toMatchObject({ code: 'ERR_NSJS_LAUNCHER' });
});
