import { fstatSync } from 'node:fs';
import { native } from '../native/addon';
import { type Arch, archTables } from '../seccomp/tables';

const cwd = -100;
const readOnly = 0o2000000; // O_RDONLY | O_CLOEXEC
// ioctl_ns(2)
const NS_GET_USERNS = 0xb701;
const NS_GET_PARENT = 0xb702;

/**
 * Returns a function that reads the namespaces of a process: their inode numbers in the order of `types`, 0 for a type
 * that the kernel lacks. The function returns undefined if the process has exited or the caller may not read its
 * namespaces. It does not throw, because it is called for every process of the machine. Each call overwrites the array
 * of the call before.
 */
export function namespaceLinksOf(types: readonly string[]): (pid: string) => Uint32Array | undefined {
  const { nsLinks } = native();
  const names = Buffer.from(types.map((type) => `${type}\0`).join(''));
  const inodes = new Uint32Array(types.length);
  return (pid) => {
    inodes.fill(0);
    const result = nsLinks(Buffer.from(`/proc/${pid}/ns\0`), names, inodes);
    return result === 0 && inodes.some((inode) => inode !== 0) ? inodes : undefined;
  };
}

/**
 * Returns the inode numbers of the parent (of a pid or user namespace) and of the owning user namespace of a process's
 * namespace. A number that the caller may not read is omitted. Does not throw.
 */
export function readNamespaceRelations(pid: number, type: string): { readonly parent?: number; readonly owner?: number } {
  const { syscall } = native();
  const { openat = -1, ioctl = -1, close = -1 } = archTables[process.arch as Arch].numbers;
  const fd = syscall(openat, cwd, Buffer.from(`/proc/${pid}/ns/${type}\0`), readOnly, 0);
  if (fd < 0) return {};
  const inodeBy = (request: number): number | undefined => {
    const related = syscall(ioctl, fd, request, 0);
    if (related < 0) return undefined;
    const inode = fstatSync(related).ino;
    syscall(close, related);
    return inode;
  };
  const parent = type === 'pid' || type === 'user' ? inodeBy(NS_GET_PARENT) : undefined;
  const owner = inodeBy(NS_GET_USERNS);
  syscall(close, fd);
  return { ...(parent === undefined ? {} : { parent }), ...(owner === undefined ? {} : { owner }) };
}
