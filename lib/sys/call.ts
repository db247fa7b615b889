import { errnos } from '../base/errnos';
import { OptionError, SysError } from '../base/errors';
import { native, type SyscallArgument } from '../native/addon';
import { type Arch, archTables } from '../seccomp/tables';

/** An argument of a system call. A string is passed NUL-terminated. */
export type Argument = SyscallArgument | string;

function numberOf(name: string): number {
  const number = archTables[process.arch as Arch]?.numbers[name];
  if (number === undefined) throw new SysError({ errno: errnos.ENOSYS, syscall: name });
  return number;
}

// The addon would turn any other value into 0, which is a valid descriptor, pid or flag.
function word(name: string, argument: unknown, index: number): SyscallArgument {
  if (argument === null || typeof argument === 'bigint' || ArrayBuffer.isView(argument)) return argument;
  if (typeof argument === 'string') return text(name, argument);
  if (typeof argument === 'number' && Number.isInteger(argument)) return argument;
  throw new OptionError(
    `${name}: argument ${index + 1}`,
    `expected an integer, bigint, string, buffer or null, received ${String(argument)}`,
    'ERR_INVALID_ARG_TYPE',
  );
}

/**
 * A NUL-terminated copy for a system call. Throws EINVAL if the string contains a NUL byte, which would truncate it.
 */
export function text(name: string, value: unknown): Uint8Array {
  if (typeof value !== 'string') throw new OptionError(name, `expected a string, received ${typeof value}`, 'ERR_INVALID_ARG_TYPE');
  if (value.includes('\0'))
    throw new SysError({
      errno: errnos.EINVAL,
      syscall: name,
      path: value.replaceAll('\0', '\\0'),
      hint: 'the string must not contain a NUL byte',
    });
  return Buffer.from(`${value}\0`);
}

const words = (name: string, args: readonly Argument[]) => args.map((argument, index) => word(name, argument, index));

function checked(name: string, result: number): number {
  if (result < 0) throw new SysError({ errno: -result, syscall: name });
  return result;
}

/** System calls that change this process's namespaces, root, working directory, capabilities or limits. */
const changing: ReadonlySet<string> = new Set(['unshare', 'setns', 'chroot', 'pivot_root', 'capset', 'prlimit64', 'chdir', 'fchdir']);
let changes = 0;

/** Number of calls made so far that may have changed those. */
export const ownChanges = (): number => changes;

/** Makes a system call on the calling thread. Throws a SysError for a result of -errno. */
export function call(name: string, ...args: readonly Argument[]): number {
  // Without a new limit, prlimit(2) only reads.
  if (changing.has(name) && !(name === 'prlimit64' && args[2] === null)) changes++;
  return checked(name, native().syscall(numberOf(name), ...words(name, args)));
}

/** User and group id for file access and for new files, instead of this process's own. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

const nobodyElse: FileOwner = { uid: -1, gid: -1 };

/** As {@link call}, on a thread of libuv's pool. */
export function callLater(name: string, ...args: readonly Argument[]): Promise<number> {
  return callAs(nobodyElse, name, ...args);
}

/** As {@link callLater}, with other ids for file access checks and for the owner of new files, setfsuid(2). */
export function callAs({ uid, gid }: FileOwner, name: string, ...args: readonly Argument[]): Promise<number> {
  const checkedArgs = words(name, args);
  return new Promise((resolve, reject) => {
    native().syscallLater(
      (result) => {
        try {
          resolve(checked(name, result));
        } catch (error) {
          reject(error);
        }
      },
      uid | 0,
      gid | 0,
      numberOf(name),
      ...checkedArgs,
    );
  });
}

/** Calls ioctl(2). Errors name the request. */
export function ioctl(fd: number, request: number, name: string, argument: Argument = 0): number {
  const result = native().syscall(numberOf('ioctl'), ...words(`ioctl ${name}`, [fd, request, argument]));
  if (result < 0) throw new SysError({ errno: -result, syscall: `ioctl ${name}` });
  return result;
}
