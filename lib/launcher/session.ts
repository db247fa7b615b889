import { setTimeout } from 'node:timers';
import { errnos } from '../base/errnos';
import { NsError, SysError } from '../base/errors';
import { channel, type NativeSession, native } from '../native/addon';
import type { LaunchPlan } from '../plan/writer';
import { type Arch, syscallName } from '../seccomp/tables';
import { type LaunchRecord, messageSize, readRecords } from './record';

const command = { kill: 1, signal: 2, pause: 4, clock: 5 } as const;
const launchHeader = 3;
const spawnHeader = 2;
const maxBeside = 16;
// All sessions share one buffer, because each message is decoded immediately after it is received.
const buffer = Buffer.allocUnsafeSlow(messageSize);
const beside = new Int32Array(2 + maxBeside);
const none: readonly number[] = [];

/** A record that arrived on a channel. */
export interface Message {
  readonly record: LaunchRecord;
  /** The program's pid on the host. */
  readonly pid: number;
  /** Descriptors received with the record; the receiver must close them. */
  readonly fds: readonly number[];
}

/**
 * One running launcher: starts it, reads and writes its channels, and ends it. It decodes records but does not
 * interpret them.
 */
export class Session {
  /** This side's descriptor for each passed entry that is a pipe or socket pair. */
  readonly ours: readonly number[];
  /** Pid of the keeper. */
  readonly pid: number;
  private readonly owner: number;
  private readonly waiting: { readonly which: number; readonly bytes: Uint8Array }[] = [];
  private readonly told: Message[] = [];
  private handle: NativeSession | undefined;
  private onReadable: ((channel: number) => void) | undefined;

  /** Throws a SysError if the launcher cannot be started. `launcherFd` -1 means the embedded launcher. */
  constructor(plan: LaunchPlan, launcherFd: number, hostId: number | undefined) {
    const results = new Int32Array(launchHeader + plan.passed.length);
    this.owner = hostId ?? -1;
    this.handle = native().launch(plan.bytes(), Int32Array.from(plan.passed), launcherFd, this.owner, this.owner, results);
    const [errno = 0, nr = 0, pid = 0] = results;
    if (!this.handle) throw launchError(errno, nr);
    this.pid = pid;
    this.ours = [...results.subarray(launchHeader)];
  }

  /**
   * Starts one more program. Returns this side's descriptors, as in `ours`. Throws a SysError if the request cannot be
   * sent.
   */
  spawn(plan: LaunchPlan, id: number): readonly number[] {
    const results = new Int32Array(spawnHeader + plan.passed.length);
    if (!this.handle || this.fd(channel.init) < 0) throw closedError();
    native().spawnProgram(this.handle, id, plan.bytes(), Int32Array.from(plan.passed), this.owner, this.owner, results);
    const [errno = 0, nr = 0] = results;
    if (errno === errnos.EPIPE || errno === errnos.ECONNRESET) throw closedError();
    if (errno !== 0) throw launchError(errno, nr);
    return [...results.subarray(spawnHeader)];
  }

  /** Streams now own the descriptors in `ours`: closing the session no longer closes them. */
  adopt(): void {
    if (this.handle) native().adopt(this.handle);
  }

  /**
   * Calls back with each channel that is readable; a later call replaces the callback. If the channels cannot be
   * watched, ends the sandbox and throws a SysError.
   */
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

  /** Yields the messages that can be read from a channel now. */
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
   * Like messages(), but in causal order: the keeper's record of an end comes after all records that init sent before
   * it. The channels are separate, so those of init are read after those of the keeper and yielded first.
   */
  *inOrder(which: number): Generator<Message> {
    if (which !== channel.control) yield* this.messages(which);
    else {
      // Stored in a field, because the consumer of a message may throw and the rest must not be lost.
      this.told.push(...this.messages(which));
      yield* this.messages(channel.init);
      for (let next = this.told.shift(); next; next = this.told.shift()) yield next;
    }
  }

  /** Sends a signal to a program. */
  signal(number: number, program = 0): void {
    this.send(channel.init, command.signal, program, number);
  }

  /** Stops every process except init with SIGSTOP, and holds back programs spawned after that; or resumes them. */
  pause(on: boolean): void {
    this.send(channel.init, command.pause, 0, on ? 1 : 0);
  }

  /** Starts the clock of the time limits that the keeper enforces. */
  startClock(): void {
    this.send(channel.control, command.clock, 0, 0);
  }

  /** Kills every process of the sandbox. */
  kill(): void {
    this.send(channel.control, command.kill, 0, 0);
  }

  /** Ends the sandbox without waiting for its end. */
  abandon(): void {
    if (this.handle) native().close(this.handle, 0);
  }

  /**
   * Frees the resources of the session; to be called when the keeper has exited. Returns the keeper's exit status, or
   * the negated number of the signal that killed it.
   */
  close(): number {
    if (!this.handle) return 0;
    const status = native().close(this.handle, 1);
    this.handle = undefined;
    return status;
  }

  /** Hands over descriptors that are closed with the session, or earlier when this environment ends. */
  hold(fds: readonly number[]): void {
    if (this.handle) native().hold(this.handle, Int32Array.from(fds));
  }

  /** Closes the descriptors given to hold(). */
  dropHeld(): void {
    if (this.handle) native().hold(this.handle, new Int32Array());
  }

  // The other side may be frozen: requests that do not fit into the channel are queued here.
  private send(which: number, ...words: readonly number[]): void {
    this.waiting.push({ which, bytes: new Uint8Array(Uint32Array.from(words).buffer) });
    if (this.waiting.length === 1) this.flush();
  }

  private flush(): void {
    for (let next = this.waiting[0]; next && this.handle; next = this.waiting[0]) {
      if (native().send(this.handle, next.which, next.bytes) === -errnos.EAGAIN) {
        setTimeout(() => this.flush(), retryMs).unref();
        return;
      }
      this.waiting.shift();
    }
    if (!this.handle) this.waiting.length = 0;
  }
}

const retryMs = 5;

/** Returns the error for requests to a closed sandbox. */
export const closedError = () => new NsError('ERR_NSJS_CLOSED', 'the sandbox is closed', { hint: 'open another one' });

function launchError(errno: number, nr: number): SysError {
  const syscall = syscallName(nr, process.arch as Arch);
  return new SysError({ errno, syscall, origin: 'launcher', hint: launchHint(errno, syscall) });
}

function launchHint(errno: number, syscall: string): string | undefined {
  if (errno === errnos.EAGAIN) return 'the sandbox is paused, or has too many pending requests: wait until they are answered';
  if ((errno === errnos.EACCES || errno === errnos.EPERM) && syscall.startsWith('exec'))
    return 'the host forbids executing a memfd: provide the launcher as a file with the option launcherPath';
  if (errno === errnos.EPERM && syscall === 'fchown')
    return 'this process has lost privileges since it opened the sandbox: open another one';
  if (errno === errnos.EMFILE || (errno === errnos.EINVAL && syscall === 'fcntl'))
    return 'this process may have too few file descriptors: the launcher needs about 100, see `ulimit -n`';
  return undefined;
}
