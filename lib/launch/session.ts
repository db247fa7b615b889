import { SysError } from '../errors';
import { channel, type NativeSession, native } from '../native';
import type { PlanWriter } from '../plan/writer';
import { type Arch, syscallName } from '../seccomp/tables';
import { type LaunchRecord, messageSize, readRecord } from './record';

const command = { kill: 1, signal: 2 } as const;
const resultHeader = 3;
const eagain = -11;

/** What arrived on a channel. */
export interface Message {
  readonly record: LaunchRecord;
  /** The program's pid on the host. */
  readonly pid: number;
}

/** One running launcher: starting it, its channels, ending it. Knows records, not what they mean. */
export class Session {
  /** This side's descriptor of each passed entry that is a pipe or socket pair. */
  readonly ours: readonly number[];
  private handle: NativeSession | undefined;
  private open = true;

  /** Throws a SysError if the launcher can't be started. `launcherFd` -1 stands for the embedded one. */
  constructor(plan: PlanWriter, launcherFd: number, hostId: number | undefined) {
    const results = new Int32Array(resultHeader + plan.passed.length);
    const owner = hostId ?? -1;
    this.handle = native().launch(plan.bytes(), Int32Array.from(plan.passed), launcherFd, owner, owner, results);
    const [errno = 0, nr = 0] = results;
    if (!this.handle) {
      throw new SysError({ errno, syscall: syscallName(nr, process.arch as Arch), origin: 'launcher', hint: launchHint(errno) });
    }
    this.ours = [...results.subarray(resultHeader)];
  }

  /** Streams have been made of `ours`: closing the session leaves them alone from now on. */
  adopt(): void {
    if (this.handle) native().adopt(this.handle);
  }

  /** Calls back with each channel that can be read. Throws a SysError, and ends the sandbox, if that can't be had. */
  watch(onReadable: (channel: number) => void): void {
    if (!this.handle) return;
    const result = native().watch(this.handle, onReadable);
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
    const buffer = Buffer.alloc(messageSize);
    const beside = new Int32Array(1);
    while (this.handle && this.open) {
      const size = native().receive(this.handle, which, buffer, beside);
      if (size === eagain || size <= 0) return;
      const record = readRecord(buffer.subarray(0, size));
      if (record) yield { record, pid: beside[0] ?? 0 };
    }
  }

  /** Sends a signal to the program. */
  signal(number: number): void {
    this.send(channel.init, [command.signal, number]);
  }

  /** Kills every process of the sandbox. */
  kill(): void {
    this.send(channel.control, [command.kill]);
  }

  /** The keeper has ended: gives back what this process holds. */
  close(): void {
    if (!this.handle) return;
    native().close(this.handle, 1);
    this.handle = undefined;
    this.open = false;
  }

  private send(which: number, bytes: readonly number[]): void {
    if (this.handle) native().send(this.handle, which, Uint8Array.from(bytes));
  }
}

function launchHint(errno: number): string | undefined {
  const eacces = 13;
  const eperm = 1;
  if (errno === eacces || errno === eperm) return 'the host forbids executing a memfd: give the launcher as a file with launcherPath';
  return undefined;
}
