import { SysError } from '../errors';
import { native, type SyscallArgument } from '../native';
import { type Arch, archTables } from '../seccomp/tables';

const enosys = 38;

/** What a system call may be given; a string goes in NUL-terminated. */
export type Argument = SyscallArgument | string;

function numberOf(name: string): number {
  const number = archTables[process.arch as Arch]?.numbers[name];
  if (number === undefined) throw new SysError({ errno: enosys, syscall: name });
  return number;
}

const word = (argument: Argument): SyscallArgument => (typeof argument === 'string' ? text(argument) : argument);

/** A NUL-terminated copy. A NUL byte inside would cut it: EINVAL. */
export function text(value: string): Uint8Array {
  if (value.includes('\0')) throw new SysError({ errno: 22, syscall: 'a text with a NUL byte', path: value.replaceAll('\0', '\\0') });
  return Buffer.from(`${value}\0`);
}

function checked(name: string, result: number): number {
  if (result < 0) throw new SysError({ errno: -result, syscall: name });
  return result;
}

/** Makes a system call on the calling thread; throws a SysError for -errno. */
export function call(name: string, ...args: readonly Argument[]): number {
  return checked(name, native().syscall(numberOf(name), ...args.map(word)));
}

/** The same on a thread of libuv's pool. */
export function callLater(name: string, ...args: readonly Argument[]): Promise<number> {
  return new Promise((resolve, reject) => {
    native().syscallLater(
      (result) => {
        try {
          resolve(checked(name, result));
        } catch (error) {
          reject(error);
        }
      },
      numberOf(name),
      ...args.map(word),
    );
  });
}

/** ioctl(2), named by its request in errors. */
export function ioctl(fd: number, request: number, name: string, argument: Argument = 0): number {
  const result = native().syscall(numberOf('ioctl'), fd, request, word(argument));
  if (result < 0) throw new SysError({ errno: -result, syscall: `ioctl ${name}` });
  return result;
}
