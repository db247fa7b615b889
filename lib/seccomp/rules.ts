import { constants } from 'node:os';
import { OptionError } from '../base/errors';
import { bare, parseArray, parseInteger, parseObject, parseOneOf, parseString } from '../base/parse';
import { callsOf, isGroupName } from './groups';
import type { Action, Condition, Rule } from './policy';
import { isForeignSyscallName, isSyscallName } from './tables';

/** A condition on one argument of a system call. */
export interface SeccompCondition {
  /** Index of the argument, from 0 to 5. */
  readonly index: number;
  readonly op: Condition['op'];
  readonly value: number | bigint;
  /** Mask that is applied to the argument before it is compared. */
  readonly mask?: number | bigint;
  /**
   * Number of bits of the argument that are compared. By default both are: the 64 bits that are passed and the 32 bits
   * that the kernel reads for an `int`. A call is allowed only if the condition is true for both, and denied if it is
   * true for either (CVE-2019-10063).
   */
  readonly width?: 32 | 64;
}

/** System calls with conditions, all of which must be met. */
export interface SeccompRule {
  /** Names of system calls, or of groups such as '@network'. */
  readonly names: string | readonly string[];
  readonly when?: readonly SeccompCondition[];
  /** Error of a denied call, by name or number. Default 'EPERM'. */
  readonly errno?: string | number;
}

const maxErrno = 4095;
const ops = ['eq', 'ne', 'lt', 'le', 'gt', 'ge'] as const;
const lowWord = 0xffff_ffffn;
const wholeWord = 0xffff_ffff_ffff_ffffn;

/** A parsed condition. Without a width, it applies to both widths. */
export interface OpenCondition extends Omit<Condition, 'width'> {
  readonly width?: 32 | 64;
}

/** Parses a list of names, groups and rules. */
export function parseRules(value: unknown, at: string, action: (errno: number) => Action, why: string): readonly Rule[] {
  return parseArray(value, at).flatMap((entry, index) => parseRule(entry, `${at}[${index}]`, action, why));
}

function parseRule(value: unknown, at: string, action: (errno: number) => Action, why: string): readonly Rule[] {
  const given = parseObject(typeof value === 'string' ? { names: value } : value, at, ['names', 'when', 'errno']);
  const names = parseNames(given.names, typeof value === 'string' ? at : `${at}.names`);
  const chosen = action(given.errno === undefined ? constants.errno.EPERM : parseErrno(given.errno, `${at}.errno`));
  const when =
    given.when === undefined ? [] : parseArray(given.when, `${at}.when`).map((one, i) => parseCondition(one, `${at}.when[${i}]`));
  return rulesFor(names, chosen, when, why);
}

/** Parses names of system calls and groups, and replaces groups by their calls. */
export function parseNames(value: unknown, at: string): readonly string[] {
  const list = typeof value === 'string' ? [value] : parseArray(value, at);
  return list.flatMap((entry, index) => {
    const where = typeof value === 'string' ? at : `${at}[${index}]`;
    const name = parseString(entry, where);
    if (isGroupName(name)) return callsOf(name);
    if (isSyscallName(name) || isForeignSyscallName(name)) return [name];
    throw new OptionError(where, `unknown system call${name.startsWith('@') ? ' group' : ''} '${name}'`);
  });
}

function parseErrno(value: unknown, at: string): number {
  if (typeof value === 'number') return parseInteger(value, at, 1, maxErrno);
  const number = (constants.errno as Readonly<Record<string, number>>)[parseString(value, at)];
  if (number === undefined) throw new OptionError(at, `expected the name of an errno like 'EPERM', received '${String(value)}'`);
  return number;
}

function parseCondition(value: unknown, at: string): OpenCondition {
  const given = parseObject(value, at, ['index', 'op', 'value', 'mask', 'width']);
  return {
    index: parseInteger(given.index, `${at}.index`, 0, 5) as Condition['index'],
    op: parseOneOf(given.op, `${at}.op`, ops),
    value: parseWord(given.value, `${at}.value`),
    ...(given.mask === undefined ? {} : { mask: parseWord(given.mask, `${at}.mask`) }),
    ...(given.width === undefined ? {} : { width: Number(parseOneOf(String(given.width), `${at}.width`, ['32', '64'])) as 32 | 64 }),
  };
}

/** Parses an unsigned 64-bit integer. */
export function parseWord(value: unknown, at: string): bigint {
  if (typeof value === 'number') return BigInt(parseInteger(value, at, 0));
  if (typeof value === 'bigint' && value >= 0n && value <= wholeWord) return value;
  throw new OptionError(at, 'expected a whole number from 0 to 2^64 - 1');
}

const grants = ({ kind }: Action): boolean => kind === 'allow' || kind === 'log' || kind === 'trace';

/**
 * Returns the rules for some system calls. A condition without a width becomes as many conditions or rules as are
 * needed to cover both widths.
 */
export function rulesFor(names: readonly string[], action: Action, conditions: readonly OpenCondition[], why: string): readonly Rule[] {
  if (conditions.length === 0) return [bare({ names, action, why })];
  const ways = conditions.map((condition) => bothWays(bare({ ...condition })));
  const alternatives = grants(action) ? [ways.flat()] : choices(ways);
  return alternatives.map((when) => bare({ names, action, when, why }));
}

function bothWays(condition: OpenCondition): readonly Condition[] {
  const { width, value, mask = wholeWord } = condition;
  if (width !== undefined) return [bare({ ...condition, width })];
  const wide = bare({ ...condition, width: 64 as const });
  // A value above 32 bits can only mean 64 bits. With a mask within 32 bits, both comparisons are the same.
  return value > lowWord || (mask <= lowWord && condition.mask !== undefined) ? [wide] : [wide, bare({ ...condition, width: 32 as const })];
}

function choices(lists: readonly (readonly Condition[])[]): readonly (readonly Condition[])[] {
  return lists.reduce<readonly (readonly Condition[])[]>((all, list) => all.flatMap((one) => list.map((next) => [...one, next])), [[]]);
}
