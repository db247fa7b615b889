import { bare } from '../base/parse';

/** The action of a filter for a system call, seccomp(2). */
export type Action =
  | { readonly kind: 'kill' | 'killThread' | 'trap' | 'notify' | 'trace' | 'log' | 'allow' }
  | { readonly kind: 'errno'; readonly errno: number };

/** Actions from the strictest to the mildest, in the kernel's order of precedence for several filters. */
export const actionOrder = ['kill', 'killThread', 'trap', 'errno', 'notify', 'trace', 'log', 'allow'] as const;

/**
 * A condition on one argument. `width` 32 compares the low word only, as the kernel does for `int` and `unsigned`
 * parameters: comparing all 64 bits there is a security hole (CVE-2019-10063). With `mask`, the masked argument is
 * compared.
 */
export interface Condition {
  readonly index: 0 | 1 | 2 | 3 | 4 | 5;
  readonly op: 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge';
  readonly value: bigint;
  readonly mask?: bigint;
  readonly width: 32 | 64;
}

/** One or more system calls and the action for them if all conditions are met. */
export interface Rule {
  readonly names: readonly string[];
  readonly action: Action;
  readonly when?: readonly Condition[];
  /** The reason for the rule. */
  readonly why: string;
}

/**
 * An ordered list of rules. The first rule that matches a system call decides; if none matches, `otherwise` applies.
 */
export interface Policy {
  readonly rules: readonly Rule[];
  readonly otherwise: Action;
}

export const allow: Action = { kind: 'allow' };
export const kill: Action = { kind: 'kill' };
export const notify: Action = { kind: 'notify' };
export const errno = (number: number): Action => ({ kind: 'errno', errno: number });

/**
 * Returns copies of rules without a prototype, so that properties which other code added to Object.prototype are not
 * read.
 */
export const ownRules = (rules: readonly Rule[]): readonly Rule[] =>
  rules.map((rule) => {
    const own = bare({ ...rule });
    return own.when === undefined ? own : bare({ ...own, when: own.when.map((condition) => bare({ ...condition })) });
  });

/**
 * Returns the action for a system call by evaluating the rules, without a filter. Compiled filters are tested against
 * it.
 */
export function decide(policy: Policy, name: string, args: readonly bigint[]): Action {
  return decidingRule(policy, name, args)?.action ?? policy.otherwise;
}

/** Returns the rule that decides; undefined if none matches and `otherwise` applies. */
export function decidingRule({ rules }: Policy, name: string, args: readonly bigint[]): Rule | undefined {
  return rules.find(
    ({ names, when = [] }) => names.includes(name) && when.every((condition) => holds(condition, args[condition.index] ?? 0n)),
  );
}

function holds({ op, value, mask, width }: Condition, argument: bigint): boolean {
  const word = BigInt.asUintN(width, argument);
  const left = mask === undefined ? word : word & mask;
  const right = BigInt.asUintN(width, value);
  switch (op) {
    case 'eq':
      return left === right;
    case 'ne':
      return left !== right;
    case 'lt':
      return left < right;
    case 'le':
      return left <= right;
    case 'gt':
      return left > right;
    case 'ge':
      return left >= right;
  }
}
