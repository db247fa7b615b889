import { constants } from 'node:os';
import { types } from 'node:util';
import { OptionError } from '../base/errors';
import { parseBoolean, parseInteger, parseRecord } from '../base/parse';
import type { Notify } from '../features/feature';
import { kernelCall } from '../seccomp/replaced';
import { type Arch, isSyscallName } from '../seccomp/tables';

/** Response to a system call that was passed to this process. Created by the methods of {@link SyscallCall}. */
export type SyscallAnswer =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny'; readonly errno: number }
  | { readonly kind: 'return'; readonly value: bigint }
  | { readonly kind: 'fd'; readonly fd: number; readonly cloexec: boolean };

/**
 * One system call of a program that waits for a response, seccomp_unotify(2). The arguments are the registers at the
 * time of the call. Other threads of the program can change the memory to which they point at any time, even after it
 * was read. Therefore base decisions on the copy made here and then do the work yourself (`return`, `injectFd`).
 * Reading memory and then calling `allow` is not a check.
 */
export interface SyscallCall {
  readonly name: string;
  /** Id of the calling thread on the host. */
  readonly pid: number;
  readonly args: readonly bigint[];
  /**
   * Continues the call in the kernel if the sandbox's filter allows it without the handler. Otherwise the call is
   * denied as the filter defines.
   */
  allow(): SyscallAnswer;
  /** Makes the call fail with an errno, given by name or number (1 to 4095). */
  deny(errno: string | number): SyscallAnswer;
  /** Skips the call and makes it return this value. */
  return(value: number | bigint): SyscallAnswer;
  /**
   * Gives the program a copy of a descriptor of this process; the call returns its number (Linux 5.14). The copy is
   * close-on-exec unless `cloexec: false`.
   */
  injectFd(fd: number, options?: { readonly cloexec?: boolean }): SyscallAnswer;
  /** Copies memory of the program, 1 MiB at most. Throws SysError EFAULT, ESRCH. */
  readMemory(address: bigint, length: number): Buffer;
  /** Copies a NUL-terminated string of at most `max` bytes (default: 4096). */
  readString(address: bigint, max?: number): string;
}

export type SyscallHandler = (call: SyscallCall) => SyscallAnswer | Promise<SyscallAnswer>;

/** A system call that the filter denied. */
export interface Violation {
  readonly syscall: string;
  readonly args: readonly bigint[];
  /** Id of the calling thread on the host. */
  readonly pid: number;
  /** The errno that the call returned to the program. */
  readonly errno: number;
}

export interface SyscallOptions {
  /**
   * Handlers by name of the system call, which this process runs in place of the kernel. They can emulate calls; they
   * must not be used to check memory (see {@link SyscallCall}). If a handler throws, returns an invalid response or
   * takes longer than `syscallTimeout`, the call fails with ENOSYS. At most 64 calls are handled at a time; the others
   * wait. Linux 5.9; from 5.19 on only a fatal signal interrupts a waiting call. arm64 lacks older calls that name a
   * path, such as `mkdir`; there, the handler receives the call that the C library makes instead, `mkdirat` with
   * AT_FDCWD, as `mkdir`.
   */
  readonly onSyscall?: Readonly<Record<string, SyscallHandler>>;
  /** Time in ms that a handler may take. Default: 5,000. */
  readonly syscallTimeout?: number;
  /**
   * Whether the event `violation` is emitted for each call that the filter denies. This slows such calls down. Default:
   * false.
   */
  readonly violations?: boolean;
  /**
   * Learning mode: receives the name of each call that the program makes and the filter allows.
   * `seccomp: { only: [...usedSyscalls] }` then allows only these. Every call is passed through this process, so this
   * is meant for a trial run.
   */
  readonly usedSyscalls?: Set<string>;
}

export const syscallKeys = ['onSyscall', 'syscallTimeout', 'violations', 'usedSyscalls'] as const;

/** Parameters of a notifier. */
export interface SyscallsSpec {
  readonly notify: Notify;
  readonly handlers: ReadonlyMap<string, SyscallHandler>;
  readonly timeout: number;
  readonly used: Set<string> | undefined;
}

const defaultTimeout = 5000;

/** Returns undefined if no option needs a notifier. */
export function parseSyscalls(given: Readonly<Record<string, unknown>>, arch = process.arch as Arch): SyscallsSpec | undefined {
  const handlers = new Map<string, SyscallHandler>();
  const names = new Set<string>();
  for (const [name, handler] of Object.entries(given.onSyscall === undefined ? {} : parseRecord(given.onSyscall, 'onSyscall'))) {
    if (!isSyscallName(name)) throw new OptionError(`onSyscall.${name}`, 'is not a known system call');
    if (typeof handler !== 'function') throw new OptionError(`onSyscall.${name}`, 'expected a function', 'ERR_INVALID_ARG_TYPE');
    // Calls that this architecture has in no form (arm64 has no fork) are ignored: the same options work everywhere.
    const call = kernelCall(name, arch);
    if (call === undefined) continue;
    handlers.set(name, handler as SyscallHandler);
    names.add(call);
  }
  const violations = given.violations === undefined ? false : parseBoolean(given.violations, 'violations');
  const timeout =
    given.syscallTimeout === undefined ? defaultTimeout : parseInteger(given.syscallTimeout, 'syscallTimeout', 1, 2 ** 31 - 1);
  const used = given.usedSyscalls;
  if (used !== undefined && !types.isSet(used)) throw new OptionError('usedSyscalls', 'expected a Set', 'ERR_INVALID_ARG_TYPE');
  if (handlers.size === 0 && !violations && !used) return undefined;
  return {
    notify: { names: [...names], violations, learn: used !== undefined },
    handlers,
    timeout,
    used: used as Set<string> | undefined,
  };
}

export function parseErrno(errno: string | number): number {
  const number = typeof errno === 'number' ? errno : (constants.errno as Readonly<Record<string, number>>)[errno];
  return parseInteger(number, 'errno', 1, 4095);
}
