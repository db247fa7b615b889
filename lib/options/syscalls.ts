import { constants } from 'node:os';
import { types } from 'node:util';
import { OptionError } from '../base/errors';
import { parseBoolean, parseInteger, parseRecord } from '../base/parse';
import type { Notify } from '../features/feature';
import { type Arch, archTables, isSyscallName } from '../seccomp/tables';

/** What becomes of a system call that was handed to this process; made by the methods of {@link SyscallCall}. */
export type SyscallAnswer =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny'; readonly errno: number }
  | { readonly kind: 'return'; readonly value: bigint }
  | { readonly kind: 'fd'; readonly fd: number; readonly cloexec: boolean };

/**
 * One system call of a program that waits for an answer, seccomp_unotify(2). Its arguments are the registers at that moment; what they
 * point to the program's other threads can change at any time, also after it was read. So decide on what is copied here and then do the
 * work yourself (`return`, `injectFd`): a look at memory followed by `allow` is no check.
 */
export interface SyscallCall {
  readonly name: string;
  /** Of the calling thread, on the host. */
  readonly pid: number;
  readonly args: readonly bigint[];
  /** The kernel goes on with the call, if the sandbox's filter allows it without the handler; otherwise it is denied as the filter says. */
  allow(): SyscallAnswer;
  /** The call fails, by name or number (1 to 4095) of an errno. */
  deny(errno: string | number): SyscallAnswer;
  /** The call is not made, and returns this. */
  return(value: number | bigint): SyscallAnswer;
  /** The program gets a copy of a descriptor of this process, whose number the call returns (Linux 5.14). Close-on-exec unless `cloexec: false`. */
  injectFd(fd: number, options?: { readonly cloexec?: boolean }): SyscallAnswer;
  /** Copies memory of the program; throws SysError EIO, ESRCH. At most 1 MiB. */
  readMemory(address: bigint, length: number): Buffer;
  /** Copies a text that ends with NUL, of `max` bytes at most (default 4096). */
  readString(address: bigint, max?: number): string;
}

export type SyscallHandler = (call: SyscallCall) => SyscallAnswer | Promise<SyscallAnswer>;

/** A call that the filter refused. */
export interface Violation {
  readonly syscall: string;
  readonly args: readonly bigint[];
  /** Of the calling thread, on the host. */
  readonly pid: number;
  /** What the program was told. */
  readonly errno: number;
}

export interface SyscallOptions {
  /**
   * System calls of the program that this process answers, by name: emulation, never a check on memory (see {@link SyscallCall}).
   * A handler that throws, answers nonsense or takes longer than `syscallTimeout` makes the call fail with ENOSYS. 64 are answered at a
   * time, the rest wait. Linux 5.9; from 5.19 on only a fatal signal interrupts a call that waits.
   */
  readonly onSyscall?: Readonly<Record<string, SyscallHandler>>;
  /** ms a handler may take. Default 5,000. */
  readonly syscallTimeout?: number;
  /** Whether each call that the filter refuses is told as event `violation`, which costs the program time. Default false. */
  readonly violations?: boolean;
  /**
   * Learning: filled with the name of each call that the program makes and the filter allows. `seccomp: { only: [...usedSyscalls] }` then
   * allows just these. Every call makes a turn through this process, so it is for a trial run.
   */
  readonly usedSyscalls?: Set<string>;
}

export const syscallKeys = ['onSyscall', 'syscallTimeout', 'violations', 'usedSyscalls'] as const;

/** What a notifier needs to know. */
export interface SyscallsSpec {
  readonly notify: Notify;
  readonly handlers: ReadonlyMap<string, SyscallHandler>;
  readonly timeout: number;
  readonly used: Set<string> | undefined;
}

const defaultTimeout = 5000;

/** Undefined where nothing is asked for. */
export function parseSyscalls(given: Readonly<Record<string, unknown>>, arch = process.arch as Arch): SyscallsSpec | undefined {
  const handlers = new Map<string, SyscallHandler>();
  for (const [name, handler] of Object.entries(given.onSyscall === undefined ? {} : parseRecord(given.onSyscall, 'onSyscall'))) {
    if (!isSyscallName(name)) throw new OptionError(`onSyscall.${name}`, 'is no system call');
    if (typeof handler !== 'function') throw new OptionError(`onSyscall.${name}`, 'expected a function', 'ERR_INVALID_ARG_TYPE');
    // Others have it (arm64 has no mkdir): the same options run there.
    if (archTables[arch].numbers[name] !== undefined) handlers.set(name, handler as SyscallHandler);
  }
  const violations = given.violations === undefined ? false : parseBoolean(given.violations, 'violations');
  const timeout =
    given.syscallTimeout === undefined ? defaultTimeout : parseInteger(given.syscallTimeout, 'syscallTimeout', 1, 2 ** 31 - 1);
  const used = given.usedSyscalls;
  if (used !== undefined && !types.isSet(used)) throw new OptionError('usedSyscalls', 'expected a Set', 'ERR_INVALID_ARG_TYPE');
  if (handlers.size === 0 && !violations && !used) return undefined;
  return {
    notify: { names: [...handlers.keys()], violations, learn: used !== undefined },
    handlers,
    timeout,
    used: used as Set<string> | undefined,
  };
}

export function parseErrno(errno: string | number): number {
  const number = typeof errno === 'number' ? errno : (constants.errno as Readonly<Record<string, number>>)[errno];
  return parseInteger(number, 'errno', 1, 4095);
}
