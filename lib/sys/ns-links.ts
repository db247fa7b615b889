import { native } from '../native';
import { type Arch, archTables } from '../seccomp/tables';

const cwd = -100;
const pathOnly = 0o10200000 | 0o2000000; // O_PATH | O_DIRECTORY | O_CLOEXEC
const target = Buffer.alloc(64);
const zero = 48;
const nine = 57;

const names = new Map<string, Uint8Array>();

function nameOf(type: string): Uint8Array {
  const known = names.get(type) ?? Buffer.from(`${type}\0`);
  names.set(type, known);
  return known;
}

/**
 * Inode numbers of a process's namespaces, in the order of `types`; undefined if it is gone or may not be seen. By way of
 * its folder and without exceptions: this is done for every process of the machine.
 */
export function readNamespaceLinks(pid: string, types: readonly string[]): readonly number[] | undefined {
  const { syscall } = native();
  const { openat = -1, readlinkat = -1, close = -1 } = archTables[process.arch as Arch].numbers;
  const folder = syscall(openat, cwd, Buffer.from(`/proc/${pid}/ns\0`), pathOnly, 0);
  if (folder < 0) return undefined;
  const found: number[] = [];
  for (const type of types) {
    const size = syscall(readlinkat, folder, nameOf(type), target, target.length);
    // 0 where the kernel has no such type; all of them where the process may not be seen.
    found.push(size < 0 ? 0 : numberIn(size));
  }
  syscall(close, folder);
  return found.some((inode) => inode !== 0) ? found : undefined;
}

// `net:[4026531833]`
function numberIn(size: number): number {
  let number = 0;
  for (let index = 0; index < size; index++) {
    const digit = target[index] ?? 0;
    if (digit >= zero && digit <= nine) number = number * 10 + digit - zero;
  }
  return number;
}
