import { setTimeout } from 'node:timers';
import { NsError, SysError } from '../base/errors';
import { channel, type NativeSession, native } from '../native/addon';
import type { LaunchPlan } from '../plan/writer';
import { type Arch, syscallName } from '../seccomp/tables';
import { type LaunchRecord, messageSize, readRecords } from './record';

const command = { kill: 1, signal: 2, pause: 4, clock: 5 } as const;
const launchHeader = 3;
const spawnHeader = 2;
const maxBeside = 16;
// One for all sessions: what is received is taken out of them at once.
const buffer = Buffer.allocUnsafeSlow(messageSize);
const beside = new Int32Array(2 + maxBeside);
const none: readonly number[] = [];

/** What arrived on a channel. */
export interface Message {
  readonly record: LaunchRecord;
  /** The program's pid on the host. */
  readonly pid: number;
  /** Descriptors beside it; the receiver's from now on. */
  readonly fds: readonly number[];
}

/** One running launcher: starting it, its channels, ending it. Knows records, not what they mean. */
export class Session {
  /** This side's descriptor of each passed entry that is a pipe or socket pair. */
  readonly ours: readonly number[];
  /** Pid of the keeper. */
  readonly pid: number;
  private readonly owner: number;
  private readonly waiting: { readonly which: number; readonly bytes: Uint8Array }[] = [];
  private readonly told: Message[] = [];
  private handle: NativeSession | undefined;
  private onReadable: ((channel: number) => void) | undefined;

  /** Throws a SysError if the launcher can't be started. `launcherFd` -1 stands for the embedded one. */
  constructor(plan: LaunchPlan, launcherFd: number, hostId: number | undefined) {
    const results = new Int32Array(launchHeader + plan.passed.length);
    this.owner = hostId ?? -1;
    this.handle = native().launch(plan.bytes(), Int32Array.from(plan.passed), launcherFd, this.owner, this.owner, results);
    const [errno = 0, nr = 0, pid = 0] = results;
    if (!this.handle) throw launchError(errno, nr);
    this.pid = pid;
    this.ours = [...results.subarray(launchHeader)];
  }

  /** Starts one more program; returns this side's descriptors as `ours`. Throws a SysError if it can't be asked for. */
  spawn(plan: LaunchPlan, id: number): readonly number[] {
    const results = new Int32Array(spawnHeader + plan.passed.length);
    if (!this.handle || this.fd(channel.init) < 0) throw closedError();
    native().spawnProgram(this.handle, id, plan.bytes(), Int32Array.from(plan.passed), this.owner, this.owner, results);
    const [errno = 0, nr = 0] = results;
    if (errno === epipe || errno === econnreset) throw closedError();
    if (errno !== 0) throw launchError(errno, nr);
    return [...results.subarray(spawnHeader)];
  }

  /** Streams have been made of `ours`: closing the session leaves them alone from now on. */
  adopt(): void {
    if (this.handle) native().adopt(this.handle);
  }

  /** Calls back with each channel that can be read; a later call takes the place of the one before. Throws a SysError, and ends the sandbox, if that can't be had. */
  watch(onReadable: (channel: number) => void): void {
    const isWatched = this.onReadable !== undefined;
    this.onReadable = onReadable;
    if (!this.handle || isWatched) return;
    const result = native().watch(this.handle, (which) => this.onReadable?.(which));
    if (result === 0) return;
    native().close(this.handle, 0);
    throw new SysError({ errno: -result, syscall: 'epoll_ctl', origin: 'launcher' });
  }

  fd(which: number): number {
    return this.handle ? native().fd(this.handle, which) : -1;
  }

  ref(on: boolean): void {
    if (this.handle) native().ref(this.handle, on ? 1 : 0);
  }

  /** All that can be read from a channel now. */
  *messages(which: number): Generator<Message> {
    while (this.handle) {
      const size = native().receive(this.handle, which, buffer, beside);
      if (size <= 0) return;
      const [pid = 0, count = 0] = beside;
      let fds = count === 0 ? none : [...beside.subarray(2, 2 + count)];
      for (const record of readRecords(buffer, size)) {
        yield { record, pid, fds };
        fds = none;
      }
    }
  }

  /**
   * The same, each after what had been told before: of two channels one is read first, but the keeper's word of an end comes after all that
   * init has said.
   */
  *inOrder(which: number): Generator<Message> {
    if (which !== channel.control) yield* this.messages(which);
    else {
      // Kept: whoever takes one of them may throw.
      this.told.push(...this.messages(which));
      yield* this.messages(channel.init);
      for (let next = this.told.shift(); next; next = this.told.shift()) yield next;
    }
  }

  /** Sends a signal to a program. */
  signal(number: number, program = 0): void {
    this.send(channel.init, command.signal, program, number);
  }

  /** Stops every process but init by a signal, and what is spawned meanwhile; or lets them go on. */
  pause(on: boolean): void {
    this.send(channel.init, command.pause, 0, on ? 1 : 0);
  }

  /** Limits of time that the keeper holds count from now on. */
  startClock(): void {
    this.send(channel.control, command.clock, 0, 0);
  }

  /** Kills every process of the sandbox. */
  kill(): void {
    this.send(channel.control, command.kill, 0, 0);
  }

  /** Ends the sandbox without waiting for it. */
  abandon(): void {
    if (this.handle) native().close(this.handle, 0);
  }

  /** The keeper has ended: gives back what this process holds. Its exit status, or the signal that killed it as a negative number. */
  close(): number {
    if (!this.handle) return 0;
    const status = native().close(this.handle, 1);
    this.handle = undefined;
    return status;
  }

  /** Descriptors that end with the sandbox at the latest, also if this environment ends before. */
  hold(fds: readonly number[]): void {
    if (this.handle) native().hold(this.handle, Int32Array.from(fds));
  }

  /** Closes what is held. */
  dropHeld(): void {
    if (this.handle) native().hold(this.handle, new Int32Array());
  }

  // The other side may be frozen: what does not fit waits here.
  private send(which: number, ...words: readonly number[]): void {
    this.waiting.push({ which, bytes: new Uint8Array(Uint32Array.from(words).buffer) });
    if (this.waiting.length === 1) this.flush();
  }

  private flush(): void {
    for (let next = this.waiting[0]; next && this.handle; next = this.waiting[0]) {
      if (native().send(this.handle, next.which, next.bytes) === eagain) {
        setTimeout(() => this.flush(), retryMs).unref();
        return;
      }
      this.waiting.shift();
    }
    if (!this.handle) this.waiting.length = 0;
  }
}

const eagain = -11;
const retryMs = 5;
const epipe = 32;
const econnreset = 104;

/** What is asked of a sandbox that is closed rejects with this. */
export const closedError = () => new NsError('ERR_NSJS_CLOSED', 'the sandbox is closed', { hint: 'open another one' });

const eacces = 13;
const emfile = 24;
const einval = 22;
const eperm = 1;

function launchError(errno: number, nr: number): SysError {
  const syscall = syscallName(nr, process.arch as Arch);
  return new SysError({ errno, syscall, origin: 'launcher', hint: launchHint(errno, syscall) });
}

function launchHint(errno: number, syscall: string): string | undefined {
  if (errno === -eagain) return 'the sandbox is paused, or has too many requests to answer: wait for those there are';
  if ((errno === eacces || errno === eperm) && syscall.startsWith('exec'))
    return 'the host forbids executing a memfd: give the launcher as a file with launcherPath';
  if (errno === eperm && syscall === 'fchown')
    return 'this process has no longer the rights that its sandbox was opened with: open another one';
  if (errno === emfile || (errno === einval && syscall === 'fcntl'))
    return 'this process may have too few descriptors: the launcher needs about a hundred, see `ulimit -n`';
  return undefined;
}
