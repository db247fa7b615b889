import { closeSync, openSync, readSync } from 'node:fs';
import { errnos } from '../base/errnos';
import { SysError } from '../base/errors';
import { parseInteger } from '../base/parse';
import { parseErrno, type SyscallAnswer, type SyscallCall } from '../options/syscalls';

const maxMemory = 2 ** 20;
const page = 4096n;

/** A system call as the kernel reports it. */
export interface Notification {
  readonly id: bigint;
  readonly pid: number;
  readonly name: string;
  readonly args: readonly bigint[];
}

/** A pending system call, as its handler receives it. */
export class PendingCall implements SyscallCall {
  readonly name: string;
  readonly pid: number;
  readonly args: readonly bigint[];

  constructor(
    notification: Notification,
    private readonly isValid: () => boolean,
  ) {
    ({ name: this.name, pid: this.pid, args: this.args } = notification);
  }

  allow(): SyscallAnswer {
    return { kind: 'allow' };
  }

  deny(errno: string | number): SyscallAnswer {
    return { kind: 'deny', errno: parseErrno(errno) };
  }

  return(value: number | bigint): SyscallAnswer {
    return { kind: 'return', value: BigInt(value) };
  }

  injectFd(fd: number, { cloexec = true }: { readonly cloexec?: boolean } = {}): SyscallAnswer {
    return { kind: 'fd', fd: parseInteger(fd, 'fd', 0, 2 ** 31 - 1), cloexec };
  }

  readMemory(address: bigint, length: number): Buffer {
    const bytes = Buffer.alloc(parseInteger(length, 'length', 0, maxMemory));
    const read = this.read(address, bytes);
    if (read === length) return bytes;
    throw new SysError({
      errno: errnos.EFAULT,
      syscall: 'read',
      path: `/proc/${this.pid}/mem`,
      hint: `only ${read} bytes can be read at this address`,
    });
  }

  readString(address: bigint, max = 4096): string {
    const most = parseInteger(max, 'max', 1, maxMemory);
    const parts: Buffer[] = [];
    // Read page by page, because memory after the string may not be mapped.
    for (let at = address, left = most; left > 0; ) {
      const part = Buffer.alloc(Math.min(left, Number(page - (at % page))));
      const read = this.read(at, part);
      const end = part.indexOf(0);
      if (end >= 0 && end < read) return Buffer.concat([...parts, part.subarray(0, end)]).toString('utf8');
      if (read < part.length) break;
      parts.push(part);
      at += BigInt(part.length);
      left -= part.length;
    }
    throw new SysError({
      errno: errnos.ENAMETOOLONG,
      syscall: 'read',
      path: `/proc/${this.pid}/mem`,
      hint: `no NUL within ${most} bytes of readable memory at this address`,
    });
  }

  private read(address: bigint, into: Buffer): number {
    const fd = openSync(`/proc/${this.pid}/mem`, 'r');
    try {
      // The pid may belong to another process by now, but not while the call is still pending.
      if (!this.isValid()) throw new SysError({ errno: errnos.ESRCH, syscall: 'ioctl', hint: 'the system call is no longer pending' });
      return readSync(fd, into, 0, into.length, address as unknown as number);
    } finally {
      closeSync(fd);
    }
  }
}
