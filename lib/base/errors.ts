import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** One problem that an {@link OptionError} reports. */
export interface OptionIssue {
  /** Path of the option: `mounts[2].target`. */
  readonly path: string;
  /** Description of the problem. */
  readonly message: string;
}

type OptionErrorCode = 'ERR_INVALID_ARG_TYPE' | 'ERR_INVALID_ARG_VALUE';

/**
 * An option is unknown, has the wrong type, or has an invalid value. Thrown synchronously, before anything is created.
 * Numbers out of range throw {@link OptionRangeError} instead.
 */
export class OptionError extends TypeError {
  override readonly name = 'OptionError';
  readonly code: OptionErrorCode;
  /** Path of the first wrong option: `mounts[2].target`. */
  readonly path: string;
  readonly issues: readonly OptionIssue[];

  constructor(path: string, message: string, code: OptionErrorCode = 'ERR_INVALID_ARG_VALUE') {
    super(`${path}: ${message}`);
    this.code = code;
    this.path = path;
    this.issues = [{ path, message }];
  }
}

/** A number or size in the options is out of range. */
export class OptionRangeError extends RangeError {
  override readonly name = 'OptionRangeError';
  readonly code = 'ERR_OUT_OF_RANGE';
  readonly path: string;
  readonly issues: readonly OptionIssue[];

  constructor(path: string, message: string) {
    super(`${path}: ${message}`);
    this.path = path;
    this.issues = [{ path, message }];
  }
}

/** Codes of {@link NsError}. */
export type NsErrorCode =
  | 'ERR_NSJS_UNSUPPORTED'
  | 'ERR_NSJS_NATIVE'
  | 'ERR_NSJS_LAUNCHER'
  | 'ERR_NSJS_EXIT'
  | 'ERR_NSJS_CLOSED'
  | 'ERR_NSJS_THREAD'
  | 'ERR_NSJS_IPC'
  | 'ERR_NSJS_ARCHIVE'
  | 'ERR_NSJS_DBUS'
  | 'ERR_NSJS_VERIFY'
  | 'ERR_NSJS_NETWORK';

/** Reads an own property: what other code added to Object.prototype must not end up in an error. */
const own = <T extends object, K extends keyof T>(given: T, key: K): T[K] | undefined =>
  Object.hasOwn(given, key) ? given[key] : undefined;

/** An error of nsjs that is not the failure of a system call. */
export class NsError extends Error {
  override readonly name: string = 'NsError';
  readonly code: NsErrorCode;
  /** How to fix the problem. */
  readonly hint?: string;

  constructor(code: NsErrorCode, message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    const hint = own(options, 'hint');
    super(hint ? `${message} (${hint})` : message, Object.hasOwn(options, 'cause') ? { cause: options.cause } : undefined);
    this.code = code;
    if (hint) this.hint = hint;
  }
}

/** Details of a failed system call, from which a {@link SysError} is made. */
export interface SysErrorDetails {
  /** Positive errno, as in errno(3). */
  readonly errno: number;
  /** Name of the system call, or Node's `spawn <command>`. */
  readonly syscall: string;
  /** The option that caused the operation: `mounts[2]`. */
  readonly origin?: string | undefined;
  readonly path?: string | undefined;
  /** How to fix the problem. */
  readonly hint?: string | undefined;
  readonly spawnargs?: readonly string[] | undefined;
}

/** The kernel refused an operation. Has the shape of Node's own system errors: `code: 'EPERM'`, negative `errno`. */
export class SysError extends Error {
  override readonly name = 'SysError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly origin?: string;
  readonly path?: string;
  readonly hint?: string;
  readonly spawnargs?: readonly string[];

  constructor(details: SysErrorDetails) {
    const { errno, syscall } = details;
    const [origin, path, hint, spawnargs] = [own(details, 'origin'), own(details, 'path'), own(details, 'hint'), own(details, 'spawnargs')];
    const code = errnoName(errno);
    const at = path && !syscall.endsWith(path) ? `, ${path}` : '';
    super(`${origin ? `${origin}: ` : ''}${syscall} ${code}: ${errnoMessage(errno)}${at}${hint ? ` (${hint})` : ''}`);
    this.code = code;
    this.errno = -errno;
    this.syscall = syscall;
    if (origin) this.origin = origin;
    if (path) this.path = path;
    if (hint) this.hint = hint;
    if (spawnargs) this.spawnargs = spawnargs;
  }
}

/**
 * The error of an operation that was aborted by an {@link AbortSignal}, like Node's own: `code: 'ABORT_ERR'`, `cause:
 * signal.reason`.
 */
export class AbortError extends Error {
  override readonly name = 'AbortError';
  readonly code = 'ABORT_ERR';

  constructor(reason: unknown) {
    super('The operation was aborted', { cause: reason });
  }
}

/** Returns the name of an errno: 'EPERM' for 1. Unknown numbers become `errno 999`. */
export function errnoName(errno: number): string {
  return systemErrors().get(-errno)?.[0] ?? errnoNames.get(errno) ?? `errno ${errno}`;
}

function errnoMessage(errno: number): string {
  return systemErrors().get(-errno)?.[1] ?? 'see errno(3)';
}

let known: ReturnType<typeof getSystemErrorMap> | undefined;

// Cached, because Node creates a new map for each call.
function systemErrors(): ReturnType<typeof getSystemErrorMap> {
  known ??= getSystemErrorMap();
  return known;
}

const errnoNames = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

/**
 * Returns true for OptionError, OptionRangeError, NsError, ExitError and SysError. Tests the `name` of the error, not
 * its class, so that it works across realms.
 */
export function isNsjsError(error: unknown): error is OptionError | OptionRangeError | NsError | SysError {
  if (typeof error !== 'object' || error === null || !('name' in error)) return false;
  return ['OptionError', 'OptionRangeError', 'NsError', 'ExitError', 'SysError'].includes(String(error.name));
}
