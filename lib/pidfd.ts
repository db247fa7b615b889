import { constants } from 'node:os';
import { SysError } from './errors';
import { Fd } from './fd';
import { native } from './native';
import { parseInteger } from './parse';
import { W } from './sys/constants';
import { type PidfdInfo, pidfdGetfd, pidfdInfo, pidfdOpen, pidfdSendSignal, type WaitStatus, waitid } from './sys/process';

const readable = 1;

/** A process, held by a descriptor: it never stands for another one that got the same number, pidfd_open(2), Linux 5.3. */
export class PidFd extends Fd {
  /** Its number when it was opened. */
  readonly pid: number;

  private constructor(fd: number, pid: number) {
    super(fd, 'a PidFd');
    this.pid = pid;
  }

  /** Opens the process that has this number now. Throws SysError: ESRCH, EMFILE; OptionRangeError. */
  static open(pid: number): PidFd {
    return new PidFd(pidfdOpen(parseInteger(pid, 'pid', 1, 2 ** 22)), pid);
  }

  /** Takes over a pidfd that is there already. */
  static from(fd: number, pid: number): PidFd {
    return new PidFd(fd, pid);
  }

  /** Whether it still runs, zombies not counted. */
  get alive(): boolean {
    const entries = Int32Array.from([(this.fd << 3) | readable]);
    native().poll(entries, 0);
    return entries[0] === 0;
  }

  /** Sends a signal. Throws SysError: ESRCH once it is gone, EPERM. */
  kill(signal: NodeJS.Signals | number = 'SIGTERM'): void {
    pidfdSendSignal(this.fd, typeof signal === 'number' ? signal : constants.signals[signal]);
  }

  /** A copy of one of its descriptors. Throws SysError: EPERM, EBADF. */
  getfd(fd: number): Fd {
    return new Fd(pidfdGetfd(this.fd, fd));
  }

  /** Linux 6.13. Throws SysError: ENOTTY, ESRCH. */
  info(): PidfdInfo {
    return pidfdInfo(this.fd);
  }

  /**
   * Settles when it has ended, with its status where the kernel still has it: of a child of this process that is not waited
   * for yet, or of any process from Linux 6.15 on; else with null. Takes it from nobody: child_process still sees its own exit.
   */
  exited(): Promise<WaitStatus | null> {
    return new Promise((resolve, reject) => {
      const watch = native().watchFd(this.fd, readable, () => {
        if (typeof watch === 'number') return;
        native().unwatchFd(watch);
        resolve(this.status());
      });
      if (typeof watch === 'number') reject(new SysError({ errno: -watch, syscall: 'epoll_ctl' }));
    });
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

const signalMask = 0x7f;
const dumpedFlag = 0x80;

// As of wait(2).
function fromWaitStatus(pid: number, status: number): WaitStatus {
  const signal = status & signalMask;
  if (signal === 0) return { pid, code: exitedCode, status: (status >> 8) & 0xff };
  return { pid, code: status & dumpedFlag ? dumpedCode : killedCode, status: signal };
}

const exitedCode = 1; // CLD_EXITED
const killedCode = 2; // CLD_KILLED
const dumpedCode = 3; // CLD_DUMPED
