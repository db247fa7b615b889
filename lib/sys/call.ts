import { OptionError, SysError } from '../base/errors';
import { native, type SyscallArgument } from '../native/addon';
import { type Arch, archTables } from '../seccomp/tables';

const enosys = 38;

/** What a system call may be given; a string goes in NUL-terminated. */
export type Argument = SyscallArgument | string;

function numberOf(name: string): number {
  const number = archTables[process.arch as Arch]?.numbers[name];
  if (number === undefined) throw new SysError({ errno: enosys, syscall: name });
  return number;
}

// Whatever is none of these would become 0, which is a descriptor, a pid and a flag.
function word(name: string, argument: unknown, index: number): SyscallArgument {
  if (argument === null || typeof argument === 'bigint' || ArrayBuffer.isView(argument)) return argument;
  if (typeof argument === 'string') return text(name, argument);
  if (typeof argument === 'number' && Number.isInteger(argument)) return argument;
  throw new OptionError(`${name}: argument ${index + 1}`, `expected a whole number, received ${String(argument)}`, 'ERR_INVALID_ARG_TYPE');
}

/** A NUL-terminated copy for a system call. A NUL byte inside would cut it: EINVAL. */
export function text(name: string, value: unknown): Uint8Array {
  if (typeof value !== 'string') throw new OptionError(name, `expected a string, received ${typeof value}`, 'ERR_INVALID_ARG_TYPE');
  if (value.includes('\0'))
    throw new SysError({ errno: 22, syscall: name, path: value.replaceAll('\0', '\\0'), hint: 'a NUL byte ends a text' });
  return Buffer.from(`${value}\0`);
}

const words = (name: string, args: readonly Argument[]) => args.map((argument, index) => word(name, argument, index));

function checked(name: string, result: number): number {
  if (result < 0) throw new SysError({ errno: -result, syscall: name });
  return result;
}

/** Calls that change what this process is, or where. */
const changing: ReadonlySet<string> = new Set(['unshare', 'setns', 'chroot', 'pivot_root', 'capset', 'prlimit64', 'chdir', 'fchdir']);
let changes = 0;

/** How many calls were made here that may have changed what this process is, or where. */
export const ownChanges = (): number => changes;

/** Makes a system call on the calling thread; throws a SysError for -errno. */
export function call(name: string, ...args: readonly Argument[]): number {
  // prlimit(2) without a new limit only reads.
  if (changing.has(name) && !(name === 'prlimit64' && args[2] === null)) changes++;
  return checked(name, native().syscall(numberOf(name), ...words(name, args)));
}

/** Ids that files are reached and made with, in place of this process's. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

const nobodyElse: FileOwner = { uid: -1, gid: -1 };

/** The same on a thread of libuv's pool. */
export function callLater(name: string, ...args: readonly Argument[]): Promise<number> {
  return callAs(nobodyElse, name, ...args);
}

/** The same with the ids of another for files, setfsuid(2): what is made belongs to them, and their rights decide. */
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

/** ioctl(2), named by its request in errors. */
export function ioctl(fd: number, request: number, name: string, argument: Argument = 0): number {
  const result = native().syscall(numberOf('ioctl'), ...words(`ioctl ${name}`, [fd, request, argument]));
  if (result < 0) throw new SysError({ errno: -result, syscall: `ioctl ${name}` });
  return result;
}
