// Combines the records of one launch in cases that a real run cannot produce on demand.
import { Outcome } from '../../../dist/launcher/outcome';
import { type LaunchRecord, recordKind, unstarted } from '../../../dist/launcher/record';
import { noSlot, type Section, sections } from '../../../dist/plan/operation';
import { PlanWriter } from '../../../dist/plan/writer';
import { type Arch, archTables } from '../../../dist/seccomp/tables';

const plan = { passed: [], stdio: [], bytes: () => new Uint8Array(), section: () => [], lastWord: () => 'memory.oom_control' };
const after = sections.indexOf('after');

/** Returns the outcome of a launch in which everything was killed before init could report the start of its program. */
function endedUnheard(kills: number): Outcome {
  const outcome = new Outcome(plan, ['program']);
  outcome.feed({ ...unstarted, kind: recordKind.text, section: after, text: `oom_kill_disable 0\nunder_oom 0\noom_kill ${kills}\n` });
  outcome.feed({ ...unstarted, kind: recordKind.ended, section: after });
  return outcome;
}

test('an OOM kill of init is reported as lack of memory, not as a failure of the launcher', () => {
  expect(endedUnheard(2)).toMatchObject({ stopped: 'oom' });
  expect(endedUnheard(2).openError()).toMatchObject({ code: 'ERR_NSJS_CLOSED', message: expect.stringContaining('limits.memory') });
});

test('a time limit that is reached while remaining processes are killed is not the reason for the end', () => {
  const ended = (...records: readonly number[]): Outcome => {
    const outcome = new Outcome(plan, ['program']);
    for (const kind of records) outcome.feed({ ...unstarted, kind, ...(kind === recordKind.ended ? { cause: 'wallTime' } : { code: 1 }) });
    return outcome;
  };
  expect(ended(recordKind.started, recordKind.exited, recordKind.ended).ending()).toMatchObject({ reason: 'exited', exitCode: 0 });
  expect(ended(recordKind.started, recordKind.ended).ending()).toMatchObject({ reason: 'timeout' });
});

test('OOM kills of programs in a sandbox do not end the sandbox', () => {
  const outcome = new Outcome(plan, ['sandbox']);
  outcome.claimKills(2);
  outcome.feed({ ...unstarted, kind: recordKind.text, section: after, text: 'oom_kill 2\n' });
  outcome.feed({ ...unstarted, kind: recordKind.ended, section: after });
  expect(outcome.stopped).toBeUndefined();
});

test('an end of init for no known reason is an error', () => {
  expect(endedUnheard(0).stopped).toBeUndefined();
  expect(endedUnheard(0).setupError()).toMatchObject({ code: 'ERR_NSJS_LAUNCHER' });
});

const exitedNormally = 1; // CLD_EXITED
const killed = 2; // CLD_KILLED
const { started, exited, ended, failed, dropped, text, ending } = recordKind;
const enoent = 2;
const eacces = 13;
const eperm = 1;

/** Returns an outcome that has received the records, each completed with zeros. */
function fed(
  records: readonly Partial<LaunchRecord>[],
  of: PlanWriter = new PlanWriter(),
  command: readonly string[] = ['program'],
): Outcome {
  const outcome = new Outcome(of, command);
  for (const record of records) outcome.feed({ ...unstarted, ...record });
  return outcome;
}

const numberOf = (name: string) => archTables[process.arch as Arch].numbers[name] ?? -1;
const at = (section: Section) => sections.indexOf(section);
/** Returns a plan that reads the given files of a cgroup when the sandbox has ended. */
function reading(...files: readonly string[]): PlanWriter {
  const writer = new PlanWriter();
  for (const file of files) writer.op('after', 'cgroup', 'ReadFile', `/sys/fs/cgroup/nsjs/${file}`);
  return writer;
}

describe('the end of a run', () => {
  const oomKilled = { kind: text, section: after, step: 0, text: 'oom 1\noom_kill 1\n' };

  test.each<[string, readonly Partial<LaunchRecord>[], ReturnType<Outcome['ending']>]>([
    ['an exit code', [{ kind: exited, code: exitedNormally, status: 3 }], { exitCode: 3, signal: null, reason: 'exited' }],
    ['a signal', [{ kind: exited, code: killed, status: 15 }], { exitCode: null, signal: 'SIGTERM', reason: 'signaled' }],
    ['SIGKILL', [{ kind: exited, code: killed, status: 9 }], { exitCode: null, signal: 'SIGKILL', reason: 'signaled' }],
    [
      'a signal without a name',
      [{ kind: exited, code: killed, status: 40 }],
      { exitCode: null, signal: 'SIG40' as NodeJS.Signals, reason: 'signaled' },
    ],
    [
      'SIGKILL with OOM kills',
      [{ kind: exited, code: killed, status: 9 }, oomKilled],
      { exitCode: null, signal: 'SIGKILL', reason: 'oom' },
    ],
    [
      'another signal with OOM kills',
      [{ kind: exited, code: killed, status: 15 }, oomKilled],
      { exitCode: null, signal: 'SIGTERM', reason: 'signaled' },
    ],
    [
      'an exit code with OOM kills',
      [{ kind: exited, code: exitedNormally, status: 1 }, oomKilled],
      { exitCode: 1, signal: null, reason: 'exited' },
    ],
    [
      'a limit of CPU time',
      [{ kind: exited, code: killed, status: 9, cause: 'cpuTime' }],
      { exitCode: null, signal: 'SIGKILL', reason: 'timeout' },
    ],
    [
      'a limit of memory',
      [{ kind: exited, code: killed, status: 9, cause: 'memory' }],
      { exitCode: null, signal: 'SIGKILL', reason: 'oom' },
    ],
    ['an end without an exit', [], { exitCode: null, signal: 'SIGKILL', reason: 'killed' }],
  ])('%s', (_, records, expected) => {
    expect(fed([{ kind: started }, ...records, { kind: ended }], reading('memory.events')).ending()).toEqual(expected);
  });

  test('without a record of the end, the reason is that the launcher was killed', () => {
    expect(fed([{ kind: started }]).ending()).toEqual({ exitCode: null, signal: 'SIGKILL', reason: 'launcher' });
  });

  test('the exit of a program in a long-lived sandbox is its end', () => {
    const record = { ...unstarted, kind: exited, program: 4, code: exitedNormally };
    const outcome = fed([record]);
    expect([outcome.exited, outcome.ended]).toEqual([record, record]);
    expect(fed([{ ...record, program: 0 }]).ended).toBeUndefined();
  });

  test('the first reason is kept', () => {
    const outcome = new Outcome(plan, ['program']);
    outcome.limitReached('idle');
    outcome.killedBy('aborted');
    outcome.limitReached('memory');
    expect(outcome).toMatchObject({ stopped: 'timeout', timeLimit: 'idle' });
    expect(outcome.ending()).toEqual({ exitCode: null, signal: 'SIGKILL', reason: 'timeout' });
  });

  test('a program may exit normally although it was stopped', () => {
    const outcome = fed([{ kind: started }, { kind: exited, code: exitedNormally, status: 7 }, { kind: ended }]);
    outcome.killedBy('aborted');
    expect(outcome.ending()).toEqual({ exitCode: 7, signal: null, reason: 'aborted' });
  });

  test('the callback for the start of the kill is called if there is one', () => {
    const outcome = fed([{ kind: ending }]);
    const calls: string[] = [];
    outcome.whenEnding(() => calls.push('ending'));
    expect(calls).toEqual([]);
    outcome.feed({ ...unstarted, kind: ending });
    expect(calls).toEqual(['ending']);
  });
});

describe('OOM kills', () => {
  test.each([
    ['version 1', 'memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n', 3],
    ['version 2', 'memory.events', 'low 0\nhigh 0\nmax 9\noom 4\noom_kill 2\noom_group_kill 0\n', 2],
    ['a first line', 'memory.events', 'oom_kill 5\n', 5],
    ['a file without the line', 'memory.events', 'low 0\noom_kills 4\n', 0],
    ['another file', 'memory.peak', '4096\n', 0],
  ])('%s', (_, file, content, expected) => {
    expect(fed([{ kind: text, section: after, text: content }], reading(file)).oomKills).toBe(expected);
  });

  test('kills in nested cgroups are added', () => {
    const outcome = fed([{ kind: text, section: after, text: 'oom_kill 1\n' }], reading('memory.events'));
    outcome.addNestedKills(2);
    outcome.addNestedKills(1);
    expect(outcome).toMatchObject({ oomKills: 4, nestedKills: 3 });
  });

  test.each([
    ['SIGKILL ended the program and there were kills', 2, true, 'oom'],
    ['SIGKILL ended the program and there were none', 0, true, 'signaled'],
    ['others were killed', 2, false, 'signaled'],
  ])('in a program of a long-lived sandbox: %s', (_, count, isKilled, reason) => {
    const outcome = fed([{ kind: started }, { kind: exited, program: 1, code: killed, status: 9 }]);
    outcome.noteKills(count, isKilled);
    expect(outcome).toMatchObject({ oomKills: count, stopped: undefined });
    expect(outcome.ending().reason).toBe(reason);
  });

  test.each([
    ['a program that was killed before it started', 1, true, 'oom'],
    ['a program that ended before it started, but not by a kill', 1, false, undefined],
  ])('%s', (_, count, isKilled, stopped) => {
    const outcome = new Outcome(plan, ['program']);
    outcome.noteKills(count, isKilled);
    expect(outcome.stopped).toBe(stopped);
  });
});

describe('files of the cgroup', () => {
  test('the parts of a text are joined under the name of the file', () => {
    const outcome = fed(
      [
        { kind: text, section: after, step: 1, text: 'usage_usec 12' },
        { kind: text, section: after, step: 1, text: '34\nuser_usec 5\n' },
        { kind: text, section: after, step: 0, text: '8192\n' },
      ],
      reading('memory.peak', 'cpu.stat'),
    );
    expect([...outcome.lastWords]).toEqual([
      ['cpu.stat', 'usage_usec 1234\nuser_usec 5\n'],
      ['memory.peak', '8192\n'],
    ]);
    expect([outcome.counter('cpu.stat', 'usage_usec'), outcome.counter('cpu.stat', 'user_usec')]).toEqual([1234, 5]);
    expect(outcome.counter('memory.peak')).toBe(8192);
  });

  test.each([
    ['a file that was not read', 'pids.peak', undefined],
    ['a line that the file lacks', 'cpu.stat', 'system_usec'],
    ['the end of a name', 'cpu.stat', 'usec'],
  ])('%s has no number', (_, file, name) => {
    expect(fed([{ kind: text, section: after, text: 'usage_usec 1\n' }], reading('cpu.stat')).counter(file, name)).toBeUndefined();
  });
});

test('files of /proc are kept by name', () => {
  const writer = new PlanWriter();
  writer.op('inside', 'verify', 'SendFile', '/proc/self/mountinfo');
  const { facts } = fed(
    [
      { kind: text, section: at('inside'), step: 0, text: 'a ' },
      { kind: text, section: at('inside'), step: 0, text: 'b' },
      { kind: text, section: at('program'), step: 1, text: '0 1000 1' },
    ],
    writer,
  );
  expect([facts.get('mountinfo'), facts.get('uid_map'), facts.get('status')]).toEqual(['a b', '0 1000 1', undefined]);
});

test('a text of an operation that is not in the plan has no name', () => {
  const { facts } = fed([{ kind: text, section: at('inside'), step: 9, text: 'x' }]);
  expect(facts.get('mountinfo')).toBeUndefined();
});

test('only the first facts about the end are kept', () => {
  const outcome = new Outcome(plan, ['program']);
  expect([outcome.cpuAtEnd, outcome.groupAtEnd, outcome.stuck]).toEqual([undefined, undefined, undefined]);
  outcome.noteCpu({ userMs: 1, systemMs: 2 });
  outcome.noteCpu({ userMs: 9 });
  outcome.noteGroup({});
  outcome.noteStuck([]);
  expect([outcome.cpuAtEnd, outcome.groupAtEnd, outcome.stuck]).toEqual([{ userMs: 1, systemMs: 2 }, {}, []]);
});

describe('operations that may fail', () => {
  const writer = new PlanWriter();
  writer.optional('host', () => writer.op('host', 'limits.memory', 'WriteFile', noSlot, '/sys/fs/cgroup/nsjs/memory.max', '1'));
  writer.op('after', 'cgroup', 'RemoveDir', '/sys/fs/cgroup/nsjs');
  const drop = (record: Partial<LaunchRecord>) => fed([{ kind: dropped, nr: numberOf('write'), ...record }], writer).dropped;

  test('are reported with the option, the reason and the fix', () => {
    expect(drop({ section: at('host'), err: 16 })).toEqual([
      { control: 'limits.memory', reason: 'write failed: EBUSY', fix: 'the usage of the cgroup already exceeds the limit' },
    ]);
  });

  test('have a fix even without a hint for the errno', () => {
    expect(drop({ section: at('host'), err: eperm })).toEqual([
      { control: 'limits.memory', reason: 'write failed: EPERM', fix: 'see errno(3) and `nsjs probe`' },
    ]);
  });

  test.each([
    ['of the clean-up', { section: after }],
    ['of a step that the plan lacks', { section: at('host'), step: 5 }],
    ['of a section that does not exist', { section: 99 }],
  ])('%s are not reported', (_, record) => {
    expect(drop({ err: eperm, ...record })).toEqual([]);
  });
});

describe('the error of a failed set-up', () => {
  const writer = new PlanWriter();
  writer.op('host', 'mounts[2]', 'OpenTree', noSlot, noSlot, 'relative', 0);
  writer.op('host', 'mounts[3]', 'MoveMount', noSlot, noSlot, '/work');
  writer.op('program', 'oomScoreAdj', 'WriteFile', noSlot, '/proc/self/oom_score_adj', '-5');
  writer.op('program', 'command', 'Exec', 'program');
  const failure = (record: Partial<LaunchRecord>, command?: readonly string[]) =>
    fed([{ kind: failed, ...record }], writer, command).setupError();

  test('names the option, the call, the path and a hint', () => {
    expect(failure({ section: at('host'), step: 1, err: 20, nr: numberOf('move_mount') })).toMatchObject({
      name: 'SysError',
      code: 'ENOTDIR',
      errno: -20,
      syscall: 'move_mount',
      origin: 'mounts[3]',
      path: '/work',
      hint: expect.stringContaining('a directory on a directory'),
    });
  });

  test('has no path if no argument is absolute, and no hint if there is none for the errno', () => {
    const error = failure({ section: at('host'), step: 0, err: eperm, nr: numberOf('open_tree') });
    expect(error).toMatchObject({ origin: 'mounts[2]', syscall: 'open_tree', code: 'EPERM', path: undefined, hint: undefined });
  });

  test('has the hint of the option rather than that of the operation', () => {
    expect(failure({ section: at('program'), step: 0, err: eacces, nr: numberOf('write') })).toMatchObject({
      origin: 'oomScoreAdj',
      hint: "a value below the caller's own needs CAP_SYS_RESOURCE",
    });
  });

  test.each([
    ['a step that the plan lacks', { section: at('host'), step: 7 }],
    ['a section that does not exist', { section: 99 }],
  ])('names the program for %s', (_, record) => {
    const expected = { origin: 'program', syscall: 'syscall_9999', code: 'EPERM', hint: undefined };
    expect(failure({ ...record, err: eperm, nr: 9999 })).toMatchObject(expected);
  });

  test.each<[string, number, readonly string[], object]>([
    [
      'a path',
      enoent,
      ['/opt/tool', '-v', 'x'],
      { syscall: 'spawn /opt/tool', path: '/opt/tool', spawnargs: ['-v', 'x'], hint: expect.stringContaining("source: '/opt/tool'") },
    ],
    ['a name', enoent, ['tool'], { syscall: 'spawn tool', spawnargs: [], hint: 'no directory of PATH inside the sandbox contains it' }],
    ['a relative path', enoent, ['./tool'], { syscall: 'spawn ./tool', code: 'ENOENT' }],
    ['a path that cannot be executed', eacces, ['/etc/passwd'], { syscall: 'spawn /etc/passwd', code: 'EACCES' }],
    ['a name that cannot be executed', eacces, ['tool'], { syscall: 'spawn tool', code: 'EACCES' }],
  ])('for %s is that of Node', (_, err, command, expected) => {
    const error = failure({ section: at('program'), step: 1, err }, command);
    expect(error).toMatchObject({ name: 'SysError', errno: -err, path: command[0], hint: undefined, ...expected });
  });

  test('is that of the first operation that failed', () => {
    const outcome = fed(
      [
        { kind: failed, section: at('host'), err: eperm },
        { kind: failed, section: at('host'), step: 1, err: eacces },
      ],
      writer,
    );
    expect(outcome.failure).toMatchObject({ origin: 'mounts[2]', code: 'EPERM' });
  });

  test('is undefined once the program has started', () => {
    expect(fed([{ kind: started }]).setupError()).toBeUndefined();
    expect(fed([{ kind: started }]).failure).toBeUndefined();
  });

  test('reports that the launcher exited if there is no record', () => {
    expect(new Outcome(plan, ['program']).setupError()).toMatchObject({
      code: 'ERR_NSJS_LAUNCHER',
      message: expect.stringContaining('the launcher exited without a report'),
    });
  });
});

describe('the error of a sandbox that ended before it was open', () => {
  test.each([
    ['wallTime', 'limits.wallTime'],
    ['cpuTime', 'limits.cpuTime'],
    ['memory', 'limits.memory'],
  ] as const)('names the limit %s', (limit, name) => {
    const outcome = new Outcome(plan, []);
    outcome.limitReached(limit);
    expect(outcome.openError()).toMatchObject({ code: 'ERR_NSJS_CLOSED', message: expect.stringContaining(`ended by ${name} before`) });
  });

  test('is that of the set-up if no limit ended it', () => {
    const outcome = fed([{ kind: failed, section: at('host'), err: eperm }]);
    outcome.killedBy('aborted');
    expect(outcome.openError()).toMatchObject({ name: 'SysError', code: 'EPERM' });
    expect(fed([{ kind: started }]).openError()).toBeUndefined();
  });
});
