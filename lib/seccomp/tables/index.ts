import { arm64 } from './arm64';
import { foreignNames } from './foreign';
import { x64 } from './x64';

/** Architectures that nsjs compiles filters for, as `process.arch` names them. */
export type Arch = 'x64' | 'arm64';

/** Properties of an architecture that a filter depends on. */
export interface ArchTable {
  /** AUDIT_ARCH_* of <linux/audit.h>, the value of seccomp_data.arch. */
  readonly audit: number;
  /** Calls with this or a higher number belong to another ABI of the same architecture (x32). */
  readonly foreignFrom?: number;
  readonly numbers: Readonly<Record<string, number>>;
}

// Getters, so that a table is loaded only where it is needed.
export const archTables: Readonly<Record<Arch, ArchTable>> = {
  get x64() {
    return { audit: 0xc000003e, foreignFrom: 0x40000000, numbers: x64 };
  },
  get arm64() {
    return { audit: 0xc00000b7, numbers: arm64 };
  },
};

/** Returns whether any supported architecture has a system call of this name. */
export function isSyscallName(name: string): boolean {
  return Object.values(archTables).some(({ numbers }) => Object.hasOwn(numbers, name));
}

/** Returns whether only architectures that nsjs does not support have a system call of this name. */
export const isForeignSyscallName = (name: string): boolean => foreignNames.has(name);

/** Returns the name of a system call number, or `syscall_<number>`. */
export function syscallName(number: number, arch: Arch): string {
  const found = Object.entries(archTables[arch].numbers).find(([, known]) => known === number);
  return found?.[0] ?? `syscall_${number}`;
}
