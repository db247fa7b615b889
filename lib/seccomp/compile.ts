import { and, branch, data, encode, type Instruction, load, opcode, ret } from './bpf';
import { type Action, type Condition, errno, kill, type Policy, type Rule } from './policy';
import { type Arch, archTables } from './tables';

const enosys = 38;

/** A range of system call numbers that are decided alike. */
interface Range {
  readonly from: number;
  readonly code: readonly Instruction[];
}

/**
 * Compiles a policy to a filter for one architecture.
 * Calls of another architecture kill the process; those of another ABI (x32) and those that no table knows get ENOSYS,
 * so that libraries fall back. The rest is a binary search by number.
 */
export function compile(policy: Policy, arch: Arch): Uint8Array {
  const { audit, foreignFrom, numbers } = archTables[arch];
  const search = searchTree(ranges(policy, numbers));
  const native = foreignFrom === undefined ? search : branch(opcode.jumpGreaterEqual, foreignFrom, returning(errno(enosys)), search);
  return encode([load(data.arch), ...branch(opcode.jumpEqual, audit, [load(data.nr), ...native], returning(kill))]);
}

/** SECCOMP_RET_* of an action. */
export function returnValue(action: Action): number {
  switch (action.kind) {
    case 'allow':
      return 0x7fff0000;
    case 'errno':
      return 0x00050000 | action.errno;
    case 'kill':
      return 0x80000000;
  }
}

const returning = (action: Action): readonly Instruction[] => [ret(returnValue(action))];

function ranges(policy: Policy, numbers: Readonly<Record<string, number>>): readonly Range[] {
  const byName = rulesByName(policy);
  const calls = Object.entries(numbers).sort(([, a], [, b]) => a - b);
  const found: Range[] = [];
  const add = (from: number, code: readonly Instruction[]) => {
    const last = found.at(-1);
    if (!last || !sameCode(last.code, code)) found.push({ from, code });
  };
  let next = 0;
  for (const [name, number] of calls) {
    if (number > next) add(next, returning(errno(enosys)));
    add(number, decision(byName.get(name) ?? [], policy.otherwise));
    next = number + 1;
  }
  add(next, returning(errno(enosys)));
  return found;
}

function rulesByName({ rules }: Policy): ReadonlyMap<string, readonly Rule[]> {
  const byName = new Map<string, Rule[]>();
  for (const rule of rules) {
    for (const name of rule.names) byName.set(name, [...(byName.get(name) ?? []), rule]);
  }
  return byName;
}

function sameCode(one: readonly Instruction[], other: readonly Instruction[]): boolean {
  const [a, b] = [one[0], other[0]];
  return one.length === 1 && other.length === 1 && a !== undefined && b !== undefined && a.k === b.k;
}

function searchTree(list: readonly Range[]): readonly Instruction[] {
  const first = list[0];
  if (!first) throw new Error('a policy covers at least one range');
  if (list.length === 1) return first.code;
  const middle = list.length >> 1;
  const pivot = list[middle]?.from ?? 0;
  return branch(opcode.jumpGreaterEqual, pivot, searchTree(list.slice(middle)), searchTree(list.slice(0, middle)));
}

function decision(rules: readonly Rule[], otherwise: Action): readonly Instruction[] {
  const [rule, ...rest] = rules;
  if (!rule) return returning(otherwise);
  const conditions = rule.when ?? [];
  if (conditions.length === 0) return returning(rule.action);
  return conditionsThen(conditions, returning(rule.action), decision(rest, otherwise));
}

function conditionsThen(conditions: readonly Condition[], yes: readonly Instruction[], no: readonly Instruction[]): readonly Instruction[] {
  const [condition, ...rest] = conditions;
  if (!condition) return yes;
  return compare(condition, conditionsThen(rest, yes, no), no);
}

function compare(condition: Condition, yes: readonly Instruction[], no: readonly Instruction[]): readonly Instruction[] {
  const { op } = condition;
  // The other three are these with yes and no changed over.
  if (op === 'ne') return compare({ ...condition, op: 'eq' }, no, yes);
  if (op === 'lt') return compare({ ...condition, op: 'ge' }, no, yes);
  if (op === 'le') return compare({ ...condition, op: 'gt' }, no, yes);

  const value = BigInt.asUintN(condition.width, condition.value);
  const mask = condition.mask ?? 0xffff_ffff_ffff_ffffn;
  const [lowValue, highValue] = halves(value);
  const [lowMask, highMask] = halves(mask);
  const lowCode = op === 'eq' ? opcode.jumpEqual : op === 'gt' ? opcode.jumpGreater : opcode.jumpGreaterEqual;
  const low = [load(data.argument(condition.index, 'low')), ...masked(lowMask), ...branch(lowCode, lowValue, yes, no)];
  if (condition.width === 32) return low;

  const high = [load(data.argument(condition.index, 'high')), ...masked(highMask)];
  const equal = branch(opcode.jumpEqual, highValue, low, no);
  return [...high, ...(op === 'eq' ? equal : branch(opcode.jumpGreater, highValue, yes, equal))];
}

function masked(mask: number): readonly Instruction[] {
  return mask === 0xffffffff ? [] : [and(mask)];
}

function halves(value: bigint): readonly [low: number, high: number] {
  return [Number(value & 0xffffffffn), Number(value >> 32n)];
}
