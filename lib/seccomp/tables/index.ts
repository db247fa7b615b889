import { arm64 } from './arm64';
import { foreignNames } from './foreign';
import { x64 } from './x64';

/** Architectures that nsjs compiles filters for, as `process.arch` names them. */
export type Arch = 'x64' | 'arm64';

/** What a filter must know of an architecture. */
export interface ArchTable {
  /** AUDIT_ARCH_* of <linux/audit.h>, as seccomp_data.arch holds it. */
  readonly audit: number;
  /** From this number on a call is of another ABI on the same architecture (x32). */
  readonly foreignFrom?: number;
  readonly numbers: Readonly<Record<string, number>>;
}

export const archTables: Readonly<Record<Arch, ArchTable>> = {
  x64: { audit: 0xc000003e, foreignFrom: 0x40000000, numbers: x64 },
  arm64: { audit: 0xc00000b7, numbers: arm64 },
};

/** Whether any architecture has a system call of this name. */
export function isSyscallName(name: string): boolean {
  return Object.values(archTables).some(({ numbers }) => Object.hasOwn(numbers, name));
}

/** Whether it is the name of a system call that only architectures nsjs does not run on have. */
export const isForeignSyscallName = (name: string): boolean => foreignNames.has(name);

/** Name of a number, or `syscall_<number>`. */
export function syscallName(number: number, arch: Arch): string {
  const found = Object.entries(archTables[arch].numbers).find(([, known]) => known === number);
  return found?.[0] ?? `syscall_${number}`;
}
