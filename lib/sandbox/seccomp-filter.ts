import { OptionError } from '../base/errors';
import { parseString } from '../base/parse';
import type { SandboxOptions } from '../features';
import { filterFor, policyFor } from '../features/seccomp-filter';
import { parseSandboxOptions } from '../options/spec';
import { disassemble } from '../seccomp/disassemble';
import { decidingRule } from '../seccomp/policy';
import { parseWord } from '../seccomp/rules';
import { type Arch, archTables } from '../seccomp/tables';

/** What becomes of one system call. */
export interface SeccompDecision {
  readonly action: 'allow' | 'errno' | 'kill' | 'killThread' | 'trap' | 'trace' | 'log' | 'notify';
  /** With action `errno`. */
  readonly errno?: number;
  /** Why: the reason of the rule that decides, or that none does. */
  readonly why: string;
}

/** The filter that options lead to: what the kernel is given, and how it decides. */
export interface SeccompFilter {
  /** `struct sock_filter[]` of this machine's architecture, seccomp(2). */
  readonly bytes: Uint8Array;
  readonly instructions: number;
  /** SHA-256 of the bytes, in hex; `report.seccomp.hash` of a sandbox with the same options. */
  readonly hash: string;
  /** Names a loaded profile allows and no architecture has; they stay refused. */
  readonly unknown: readonly string[];
  /** Which rule decides a call; `args` are its arguments, 0 where left out. Throws OptionError for a name that this architecture lacks. */
  explain(name: string, args?: readonly (number | bigint)[]): SeccompDecision;
  /** The filter disassembled, one instruction a line. */
  toString(): string;
}

/**
 * The seccomp filter of sandbox options, as a value: nothing is started, no privileges are needed. Undefined with
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
        throw new OptionError('name', `no system call is named '${name}' here`);
      const rule = decidingRule(
        policy,
        name,
        args.map((arg, index) => parseWord(arg, `args[${index}]`)),
      );
      const action = rule?.action ?? policy.otherwise;
      return {
        action: action.kind,
        ...(action.kind === 'errno' ? { errno: action.errno } : {}),
        why: rule?.why ?? 'no rule names it with these arguments',
      };
    },
    toString: () => disassemble(bytes, arch),
  });
}
