import { bare } from '../base/parse';
import type { Condition, Rule } from './policy';
import { type Arch, archTables } from './tables';

/**
 * How the C library makes a call that newer architectures lack: another call, in which some arguments are fixed and the
 * others are those of the old one.
 */
interface Replacement {
  readonly name: string;
  /** Values of arguments by index, which the kernel reads as 32 bits. */
  readonly fixed: Readonly<Partial<Record<Condition['index'], bigint>>>;
  /** The index of each argument of the old call. */
  readonly args: readonly Condition['index'][];
}

const here = -100n; // AT_FDCWD
const removeDir = 0x200n; // AT_REMOVEDIR
const noFollow = 0x100n; // AT_SYMLINK_NOFOLLOW

// Only calls that libc still makes on x64 where that architecture has them. There it opens files with openat, so that
// a handler of open sees nothing; a handler that got every openat on arm64 would be another one.
const replacements: Readonly<Record<string, Replacement>> = {
  access: { name: 'faccessat', fixed: { 0: here }, args: [1, 2] },
  chmod: { name: 'fchmodat', fixed: { 0: here }, args: [1, 2] },
  chown: { name: 'fchownat', fixed: { 0: here, 4: 0n }, args: [1, 2, 3] },
  lchown: { name: 'fchownat', fixed: { 0: here, 4: noFollow }, args: [1, 2, 3] },
  link: { name: 'linkat', fixed: { 0: here, 2: here, 4: 0n }, args: [1, 3] },
  mkdir: { name: 'mkdirat', fixed: { 0: here }, args: [1, 2] },
  readlink: { name: 'readlinkat', fixed: { 0: here }, args: [1, 2, 3] },
  rename: { name: 'renameat', fixed: { 0: here, 2: here }, args: [1, 3] },
  rmdir: { name: 'unlinkat', fixed: { 0: here, 2: removeDir }, args: [1] },
  symlink: { name: 'symlinkat', fixed: { 1: here }, args: [0, 2] },
  unlink: { name: 'unlinkat', fixed: { 0: here, 2: 0n }, args: [1] },
};

const isNative = (name: string, arch: Arch): boolean => Object.hasOwn(archTables[arch].numbers, name);

const replacementOf = (name: string, arch: Arch): Replacement | undefined =>
  !isNative(name, arch) && Object.hasOwn(replacements, name) ? replacements[name] : undefined;

const fixedOf = ({ fixed }: Replacement): readonly Condition[] =>
  Object.entries(fixed).map(([index, value]) => bare({ index: Number(index) as Condition['index'], op: 'eq', value, width: 32 }));

/**
 * Returns the call by which an architecture makes a call; undefined if it has neither this call nor one in its place.
 */
export const kernelCall = (name: string, arch: Arch): string | undefined => (isNative(name, arch) ? name : replacementOf(name, arch)?.name);

/**
 * Returns the rules that apply to calls in place of those that the architecture lacks, under the same conditions. Use
 * it for denials only: other checks of a policy look for calls by name.
 */
export function rulesOfReplaced(rules: readonly Rule[], arch: Arch): readonly Rule[] {
  return rules.flatMap((rule) =>
    rule.names.flatMap((name) => {
      const replacement = replacementOf(name, arch);
      if (!replacement) return [];
      const when = (rule.when ?? []).map((condition) => ({ ...condition, index: replacement.args[condition.index] }));
      // A condition on a register that is no argument of the old call.
      if (!when.every((condition): condition is Condition => condition.index !== undefined)) return [];
      return [bare({ ...rule, names: [replacement.name], when: [...fixedOf(replacement), ...when.map((one) => bare(one))] })];
    }),
  );
}

/** A system call with its arguments. */
interface Called {
  readonly name: string;
  readonly args: readonly bigint[];
}

/** Returns the call as one of the wanted calls that the architecture lacks, with that call's arguments. */
export function asReplaced(called: Called, wanted: Iterable<string>, arch: Arch): Called | undefined {
  for (const name of wanted) {
    const replacement = replacementOf(name, arch);
    if (replacement?.name !== called.name) continue;
    const { fixed, args } = replacement;
    const isSame = Object.entries(fixed).every(([index, value]) => BigInt.asIntN(32, called.args[Number(index)] ?? 0n) === value);
    if (isSame) return { name, args: Array.from(called.args, (_, index) => called.args[args[index] ?? -1] ?? 0n) };
  }
  return undefined;
}
