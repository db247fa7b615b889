import { AbortError, NsError, SysError } from '../base/errors';
import { parseInteger } from '../base/parse';
import { parseSignalNumber } from '../base/signals';
import { type NativeWatch, native } from '../native/addon';
import { W } from './constants';
import { Fd } from './fd';
import { close, dup } from './file';
import { type PidfdInfo, pidfdGetfd, pidfdInfo, pidfdOpen, pidfdSendSignal, type WaitStatus, waitid } from './process';

const readable = 1;

/**
 * A process, referred to by a descriptor that never refers to another process with a reused pid, pidfd_open(2), Linux
 * 5.3.
 */
export class PidFd extends Fd {
  /** Pid of the process when it was opened. */
  readonly pid: number;
  private ending: Ending | undefined;

  private constructor(fd: number, pid: number) {
    super(fd, 'a PidFd');
    this.pid = pid;
  }

  /** Opens the process that has this pid now. Throws SysError: ESRCH, EMFILE; OptionRangeError. */
  static open(pid: number): PidFd {
    return new PidFd(pidfdOpen(parseInteger(pid, 'pid', 1, 2 ** 22)), pid);
  }

  /** Takes ownership of an existing pidfd. */
  static from(fd: number, pid: number): PidFd {
    return new PidFd(parseInteger(fd, 'fd', 0, 2 ** 31 - 1), parseInteger(pid, 'pid', 1, 2 ** 22));
  }

  /** Whether the process still runs. False for a zombie. */
  get alive(): boolean {
    const entries = Int32Array.from([(this.fd << 3) | readable]);
    native().poll(entries, 0);
    return entries[0] === 0;
  }

  /** Sends a signal. Throws SysError: ESRCH if the process no longer exists, EPERM. */
  kill(signal: NodeJS.Signals | number = 'SIGTERM'): void {
    pidfdSendSignal(this.fd, parseSignalNumber(signal, 'signal'));
  }

  /** Returns a copy of a descriptor of the process, pidfd_getfd(2). Throws SysError: EPERM, EBADF. */
  getfd(fd: number): Fd {
    return new Fd(pidfdGetfd(this.fd, fd));
  }

  /**
   * Returns information about the process, as `pidfdInfo()` of nsjs/sys, Linux 6.13. Throws SysError: ENOTTY, ESRCH.
   */
  info(): PidfdInfo {
    return pidfdInfo(this.fd);
  }

  /**
   * Resolves when the process has exited, with its exit status if the kernel still has it: for a child of this process
   * that has not been waited for, or for any process since Linux 6.15. Resolves with null otherwise. It does not reap
   * the process, so child_process still gets its `exit` event. Rejects with ERR_NSJS_CLOSED if this PidFd is closed
   * first, with an AbortError if `signal` is aborted.
   */
  exited({ signal }: { readonly signal?: AbortSignal } = {}): Promise<WaitStatus | null> {
    if (signal?.aborted) return Promise.reject(new AbortError(signal.reason));
    this.ending ??= new Ending(this.fd, () => this.status());
    const { promise } = this.ending;
    if (!signal) return promise;
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(new AbortError(signal.reason));
      signal.addEventListener('abort', onAbort, { once: true });
      promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    });
  }

  override release(): number {
    this.ending?.give();
    return super.release();
  }

  private status(): WaitStatus | null {
    try {
      return waitid(this.fd, W.EXITED | W.NOHANG | W.NOWAIT);
    } catch {
      return this.statusAfterwards();
    }
  }

  private statusAfterwards(): WaitStatus | null {
    try {
      const { exitCode } = this.info();
      return exitCode === undefined ? null : fromWaitStatus(this.pid, exitCode);
    } catch {
      return null;
    }
  }
}

/** Waits for a process to exit, on a duplicate of its pidfd, because the original may be closed during the wait. */
class Ending {
  readonly promise: Promise<WaitStatus | null>;
  private reject!: (error: Error) => void;
  private watch: NativeWatch | undefined;
  private readonly fd: number;

  constructor(fd: number, status: () => WaitStatus | null) {
    this.fd = dup(fd);
    this.promise = new Promise((resolve, reject) => {
      this.reject = reject;
      const watch = native().watchFd(this.fd, readable, () => {
        const result = status();
        this.stop();
        resolve(result);
      });
      if (typeof watch !== 'number') this.watch = watch;
      else {
        close(this.fd);
        reject(new SysError({ errno: -watch, syscall: 'epoll_ctl' }));
      }
    });
    this.promise.catch(() => {});
  }

  give(): void {
    if (!this.watch) return;
    this.stop();
    this.reject(new NsError('ERR_NSJS_CLOSED', 'the PidFd was closed before the process ended'));
  }

  private stop(): void {
    if (!this.watch) return;
    native().unwatchFd(this.watch);
    this.watch = undefined;
    close(this.fd);
  }
}

const signalMask = 0x7f;
const dumpedFlag = 0x80;

// Decodes a wait status, wait(2).
function fromWaitStatus(pid: number, status: number): WaitStatus {
  const signal = status & signalMask;
  if (signal === 0) return { pid, code: exitedCode, status: (status >> 8) & 0xff };
  return { pid, code: status & dumpedFlag ? dumpedCode : killedCode, status: signal };
}

const exitedCode = 1; // CLD_EXITED
const killedCode = 2; // CLD_KILLED
const dumpedCode = 3; // CLD_DUMPED
