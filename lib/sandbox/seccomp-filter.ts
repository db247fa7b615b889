import { OptionError } from '../base/errors';
import { parseString } from '../base/parse';
import type { SandboxOptions } from '../features';
import { filterFor, policyFor } from '../features/seccomp-filter';
import { parseSandboxOptions } from '../options/spec';
import { disassemble } from '../seccomp/disassemble';
import { decidingRule } from '../seccomp/policy';
import { parseWord } from '../seccomp/rules';
import { type Arch, archTables } from '../seccomp/tables';

/** How the filter handles one system call. */
export interface SeccompDecision {
  readonly action: 'allow' | 'errno' | 'kill' | 'killThread' | 'trap' | 'trace' | 'log' | 'notify';
  /** The error number, with action `errno`. */
  readonly errno?: number;
  /** The reason of the rule that decides, or a note that no rule does. */
  readonly why: string;
}

/** The seccomp filter for given options: the program that the kernel receives, and how it decides. */
export interface SeccompFilter {
  /** `struct sock_filter[]` of this machine's architecture, seccomp(2). */
  readonly bytes: Uint8Array;
  readonly instructions: number;
  /** SHA-256 of the bytes, in hex. Equals `report.seccomp.hash` of a sandbox with the same options. */
  readonly hash: string;
  /** Names that a loaded profile allows but no architecture has; they stay refused. */
  readonly unknown: readonly string[];
  /**
   * Returns the decision for a system call. `args` are its arguments; those left out are 0. Throws OptionError for a
   * name that this architecture lacks.
   */
  explain(name: string, args?: readonly (number | bigint)[]): SeccompDecision;
  /** Returns the disassembled filter, one instruction per line. */
  toString(): string;
}

/**
 * Returns the seccomp filter for sandbox options. Starts nothing and needs no privileges. Returns undefined with
 * `seccomp: 'off'`. Throws OptionError.
 */
export function seccompFilter(options: SandboxOptions = {}): SeccompFilter | undefined {
  const spec = parseSandboxOptions(options);
  if (spec.seccomp === 'off') return undefined;
  const { bytes, instructions, hash, unknown } = filterFor(spec);
  const policy = policyFor(spec);
  const arch = process.arch as Arch;
  return Object.freeze({
    bytes: Uint8Array.from(bytes),
    instructions,
    hash,
    unknown,
    explain(name: string, args: readonly (number | bigint)[] = []): SeccompDecision {
      if (archTables[arch].numbers[parseString(name, 'name')] === undefined)
        throw new OptionError('name', `this architecture has no system call '${name}'`);
      const rule = decidingRule(
        policy,
        name,
        args.map((arg, index) => parseWord(arg, `args[${index}]`)),
      );
      const action = rule?.action ?? policy.otherwise;
      return {
        action: action.kind,
        ...(action.kind === 'errno' ? { errno: action.errno } : {}),
        why: rule?.why ?? 'no rule matches the system call with these arguments',
      };
    },
    toString: () => disassemble(bytes, arch),
  });
}
