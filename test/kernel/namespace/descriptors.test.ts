import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Fd, Namespace, PidFd } from 'nsjs';
import { rejection, thrown } from '../../support';

describe('descriptors', () => {
  test('Fd: close() after release() leaves the descriptor open', () => {
    const fd = new Fd(Namespace.open('self', 'net').release());
    const number = fd.release();
    fd.close();
    using again = new Fd(number);
    expect([fd.closed, again.fd]).toEqual([true, number]);
  });

  test('PidFd: kill, exited, info and getfd work on a child process, and bad arguments are refused', async () => {
    const child = spawn('sleep', ['100'], { stdio: 'ignore' });
    using process_ = PidFd.open(child.pid ?? 0);
    expect([process_.alive, process_.info().pid]).toEqual([true, child.pid]);
    process_.getfd(0).close();
    const exited = process_.exited();
    process_.kill('SIGTERM');
    const seen = once(child, 'exit');
    expect(await exited).toEqual({ pid: child.pid, code: 2, status: 15 });
    expect(process_.alive).toBe(false);
    expect(await seen).toEqual([null, 'SIGTERM']);
    expect(thrown(() => PidFd.open(0))).toMatchObject({ path: 'pid' });
    expect(thrown(() => process_.kill('SIGNOPE' as NodeJS.Signals))).toMatchObject({ path: 'signal' });
    expect(thrown(() => PidFd.from(-1, 5))).toMatchObject({ path: 'fd' });
  });

  test('PidFd: exited() can be called twice and aborted, and rejects if the PidFd is closed', async () => {
    const child = spawn('sleep', ['100'], { stdio: 'ignore' });
    const closed = PidFd.open(child.pid ?? 0);
    const waiting = [closed.exited(), closed.exited()];
    const aborted = closed.exited({ signal: AbortSignal.timeout(10) });
    expect(await rejection(aborted)).toMatchObject({ code: 'ABORT_ERR' });
    closed.close();
    for (const one of waiting) expect(await rejection(one)).toMatchObject({ code: 'ERR_NSJS_CLOSED' });
    using again = PidFd.open(child.pid ?? 0);
    const both = Promise.all([again.exited(), again.exited()]);
    child.kill('SIGKILL');
    expect(await both).toEqual([expect.objectContaining({ status: 9 }), expect.objectContaining({ status: 9 })]);
  });

  test('a namespace that is garbage-collected without being closed causes a warning', () => {
    const script = `
      process.on('warning', (warning) => { console.log(warning.name, warning.message.replace(/\\d+/, 'N')); });
      (() => { require('nsjs').Namespace.open('self', 'net'); })();
      setTimeout(() => { gc(); setTimeout(() => {}, 50); }, 10);`;
    expect(
      execFileSync(process.execPath, ['--expose-gc', '-e', script], {
        cwd: __dirname,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ).toBe('NsjsWarning a net namespace (descriptor N) was not closed\n');
  });
});
