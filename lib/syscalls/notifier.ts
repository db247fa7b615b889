import { closeSync } from 'node:fs';
import { clearTimeout, setTimeout } from 'node:timers';
import { debuglog } from 'node:util';
import { errnos } from '../base/errnos';
import { SysError } from '../base/errors';
import type { NativeWatch } from '../native/addon';
import { native } from '../native/addon';
import type { SyscallAnswer, SyscallsSpec, Violation } from '../options/syscalls';
import { decide, type Policy } from '../seccomp/policy';
import { asReplaced } from '../seccomp/replaced';
import { type Arch, syscallName } from '../seccomp/tables';
import { ioctl } from '../sys/call';
import { type Notification, PendingCall } from './pending-call';

const debug = debuglog('nsjs');

// struct seccomp_notif, seccomp_notif_resp and seccomp_notif_addfd, seccomp_unotify(2)
const request = { receive: 0xc0502100, send: 0xc0182101, idValid: 0x40082102, addFd: 0x40182103 } as const;
const sizes = { notification: 80, response: 24, addFd: 24 } as const;
const goOn = 1;
const sendToo = 2;
const closeOnExec = 0o2000000;
const readable = 1;
const maxPending = 64;
const maxPerTurn = 16;

/**
 * Answers the system calls of one program that its seccomp filter hands over. If this process exits, the kernel makes
 * the pending calls fail with ENOSYS.
 */
export class Notifier {
  private watch: NativeWatch | undefined;
  private pending = 0;
  /** Functions that end the wait for each handler. */
  private readonly waiting = new Set<() => void>();
  private isClosed = false;

  /** Takes ownership of the listener. Throws SysError if it cannot be watched. */
  constructor(
    private readonly fd: number,
    private readonly spec: SyscallsSpec,
    private readonly policy: Policy,
    private readonly onViolation: (violation: Violation) => void,
  ) {
    this.listen();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const cancel of [...this.waiting]) cancel();
    this.rest();
    closeSync(this.fd);
  }

  private listen(): void {
    if (this.watch || this.isClosed) return;
    const watch = native().watchFd(this.fd, readable, () => this.onReady());
    if (typeof watch === 'number') throw new SysError({ errno: -watch, syscall: 'epoll_ctl', origin: 'onSyscall' });
    // The watch need not keep the event loop alive: the running program does.
    native().refWatch(watch, 0);
    this.watch = watch;
  }

  private rest(): void {
    if (this.watch) native().unwatchFd(this.watch);
    this.watch = undefined;
  }

  private onReady(): void {
    // Further notifications are handled in the next turn of the event loop, so that other events are not delayed.
    for (let count = 0; count < maxPerTurn && !this.isClosed && this.pending < maxPending; count++) {
      const entries = Int32Array.of((this.fd << 3) | readable);
      if (native().poll(entries, 0) <= 0) return;
      // No process is left that could make a call.
      if (((entries[0] ?? 0) & readable) === 0) {
        this.rest();
        return;
      }
      const notification = this.receive();
      if (notification) this.handle(notification);
    }
    if (this.pending >= maxPending) this.rest();
  }

  private receive(): Notification | undefined {
    const bytes = Buffer.alloc(sizes.notification);
    if (!this.attempt(request.receive, 'SECCOMP_IOCTL_NOTIF_RECV', bytes)) return undefined;
    return {
      id: bytes.readBigUInt64LE(0),
      pid: bytes.readUInt32LE(8),
      name: syscallName(bytes.readInt32LE(16), process.arch as Arch),
      args: Array.from({ length: 6 }, (_, index) => bytes.readBigUInt64LE(32 + index * 8)),
    };
  }

  private handle(notification: Notification): void {
    const { name, args, pid } = notification;
    const { handlers, notify } = this.spec;
    const called = { ...notification, ...asReplaced(notification, handlers.keys(), process.arch as Arch) };
    const handler = handlers.get(called.name);
    if (!handler) {
      const action = decide(this.policy, name, args);
      if (action.kind === 'allow') this.spec.used?.add(name);
      if (notify.violations && action.kind === 'errno' && action.errno !== 0)
        this.onViolation({ syscall: name, args, pid, errno: action.errno });
      this.answer(notification, { kind: 'allow' });
      return;
    }
    this.spec.used?.add(name);
    this.pending++;
    const call = new PendingCall(called, () => this.isValid(notification.id));
    const answered = this.inTime(async () => handler(call));
    answered
      .then(
        (answer) => this.answer(notification, checkedAnswer(answer)),
        (error: Error) => {
          debug('onSyscall.%s: %s', name, error.message);
          this.answer(notification, { kind: 'deny', errno: errnos.ENOSYS });
        },
      )
      .finally(() => {
        this.pending--;
        this.listen();
      });
  }

  // The wait also ends with the program; it does not last until the timeout.
  private async inTime<T>(act: () => Promise<T>): Promise<T> {
    const { timeout } = this.spec;
    let end: () => void = () => {};
    const late = new Promise<never>((_, reject) => {
      end = () => reject(new Error(`the handler returned no answer within ${timeout} ms`));
    });
    const timer = setTimeout(end, timeout);
    timer.unref();
    this.waiting.add(end);
    try {
      return await Promise.race([act(), late]);
    } finally {
      clearTimeout(timer);
      this.waiting.delete(end);
    }
  }

  private answer(notification: Notification, answer: SyscallAnswer): void {
    if (this.isClosed) return;
    switch (answer.kind) {
      case 'allow':
        this.goOn(notification);
        return;
      case 'deny':
        this.respond(notification.id, 0n, answer.errno, 0);
        return;
      case 'return':
        this.respond(notification.id, answer.value, 0, 0);
        return;
      case 'fd':
        this.inject(notification, answer);
    }
  }

  // A handler cannot permit a call that the filter alone would not permit.
  private goOn({ id, name, args }: Notification): void {
    const action = decide(this.policy, name, args);
    if (action.kind === 'allow' || action.kind === 'log') this.respond(id, 0n, 0, goOn);
    else this.respond(id, 0n, action.kind === 'errno' ? action.errno : errnos.EPERM, 0);
  }

  private respond(id: bigint, value: bigint, errno: number, flags: number): void {
    const bytes = Buffer.alloc(sizes.response);
    bytes.writeBigUInt64LE(id, 0);
    bytes.writeBigInt64LE(BigInt.asIntN(64, value), 8);
    bytes.writeInt32LE(-errno, 16);
    bytes.writeUInt32LE(flags, 20);
    this.attempt(request.send, 'SECCOMP_IOCTL_NOTIF_SEND', bytes);
  }

  private inject({ id }: Notification, { fd, cloexec }: Extract<SyscallAnswer, { kind: 'fd' }>): void {
    const bytes = Buffer.alloc(sizes.addFd);
    bytes.writeBigUInt64LE(id, 0);
    bytes.writeUInt32LE(sendToo, 8);
    bytes.writeUInt32LE(fd, 12);
    bytes.writeUInt32LE(cloexec ? closeOnExec : 0, 20);
    if (!this.attempt(request.addFd, 'SECCOMP_IOCTL_NOTIF_ADDFD', bytes)) this.respond(id, 0n, errnos.ENOSYS, 0);
  }

  private isValid(id: bigint): boolean {
    return this.attempt(request.idValid, 'SECCOMP_IOCTL_NOTIF_ID_VALID', BigUint64Array.of(id));
  }

  // The calling thread may be gone at any time, and its call with it; the ioctl then fails.
  private attempt(number: number, name: string, bytes: Uint8Array | BigUint64Array): boolean {
    try {
      ioctl(this.fd, number, name, bytes);
      return true;
    } catch (error) {
      debug('%s', (error as Error).message);
      return false;
    }
  }
}

// A handler may return any value; an invalid one makes the call fail with ENOSYS.
function checkedAnswer(answer: unknown): SyscallAnswer {
  const given = (answer ?? {}) as Readonly<Record<'kind' | 'errno' | 'value' | 'fd' | 'cloexec', unknown>>;
  const isNumber = (value: unknown, min: number, max: number): value is number =>
    Number.isInteger(value) && Number(value) >= min && Number(value) <= max;
  if (given.kind === 'allow') return { kind: 'allow' };
  if (given.kind === 'deny' && isNumber(given.errno, 1, 4095)) return { kind: 'deny', errno: given.errno };
  if (given.kind === 'return' && typeof given.value === 'bigint') return { kind: 'return', value: given.value };
  if (given.kind === 'fd' && isNumber(given.fd, 0, 2 ** 31 - 1)) return { kind: 'fd', fd: given.fd, cloexec: given.cloexec !== false };
  return { kind: 'deny', errno: errnos.ENOSYS };
}
