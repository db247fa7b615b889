import { errnos } from '../base/errnos';
import { OptionError } from '../base/errors';
import { parseArray, parseInteger, parseOneOf, parseRecord, parseString } from '../base/parse';
import { type Action, actionOrder, errno, type Policy, type Rule } from './policy';
import { type OpenCondition, parseWord, rulesFor } from './rules';
import { type Arch, isForeignSyscallName, isSyscallName } from './tables';

/** The conditions that decide which rules of a profile apply. */
export interface ProfileContext {
  readonly arch: Arch;
  readonly capabilities: readonly string[];
  /** Version of the kernel, such as [6, 18]. */
  readonly kernel: readonly [major: number, minor: number];
}

/** A parsed profile: plain data, not yet resolved for a machine. */
export interface OciProfile {
  readonly otherwise: Action;
  readonly rules: readonly OciRule[];
  /** SECCOMP_FILTER_FLAG_*. */
  readonly flags: number;
  /** Names in rules that allow calls which no architecture has. */
  readonly unknown: readonly string[];
}

interface OciRule {
  readonly names: readonly string[];
  readonly action: Action;
  readonly when: readonly OpenCondition[];
  readonly includes: Filter;
  readonly excludes: Filter;
}

interface Filter {
  readonly caps: readonly string[];
  readonly arches: readonly string[];
  readonly minKernel?: readonly [number, number];
}

const actions = {
  SCMP_ACT_KILL: 'killThread',
  SCMP_ACT_KILL_THREAD: 'killThread',
  SCMP_ACT_KILL_PROCESS: 'kill',
  SCMP_ACT_TRAP: 'trap',
  SCMP_ACT_ERRNO: 'errno',
  SCMP_ACT_TRACE: 'trace',
  SCMP_ACT_LOG: 'log',
  SCMP_ACT_ALLOW: 'allow',
} as const;
const actionNames = Object.keys(actions) as (keyof typeof actions)[];

const comparisons = {
  SCMP_CMP_NE: 'ne',
  SCMP_CMP_LT: 'lt',
  SCMP_CMP_LE: 'le',
  SCMP_CMP_EQ: 'eq',
  SCMP_CMP_GE: 'ge',
  SCMP_CMP_GT: 'gt',
  SCMP_CMP_MASKED_EQ: 'masked',
} as const;
const comparisonNames = Object.keys(comparisons) as (keyof typeof comparisons)[];

// TSYNC concerns threads, of which there are none yet. WAIT_KILLABLE_RECV concerns listeners, which only `onSyscall`
// installs.
const flags: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 0,
};

const ociArches: Readonly<Record<Arch, string>> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };
const goArches: Readonly<Record<Arch, string>> = { x64: 'amd64', arm64: 'arm64' };

/**
 * Parses `linux.seccomp` of the OCI runtime spec, or a profile of Docker or Podman, which adds includes and excludes.
 */
export function readProfile(value: unknown, at: string, arch: Arch): OciProfile {
  const given = parseRecord(value, at);
  if (given.listenerPath !== undefined) throw new OptionError(`${at}.listenerPath`, 'is not supported; use the option onSyscall');
  checkArch(given, at, arch);
  const unknown: string[] = [];
  const otherwise = parseAction(given.defaultAction, given.defaultErrnoRet, at, 'defaultAction', 'defaultErrnoRet');
  const rules = optionalArray(given.syscalls, `${at}.syscalls`).map((entry, index) => readRule(entry, `${at}.syscalls[${index}]`, unknown));
  const named = optionalArray(given.flags, `${at}.flags`).map((flag) => flags[parseOneOf(flag, `${at}.flags`, Object.keys(flags))] ?? 0);
  return { otherwise, rules, flags: named.reduce((all, flag) => all | flag, 0), unknown };
}

/**
 * Returns the policy of a profile on one machine. If several rules match a call, the strictest one decides, in the
 * kernel's order of precedence, so that no rule hides another (runc leaves out rules whose action is the default).
 */
export function resolveProfile(profile: OciProfile, context: ProfileContext, why: string): Policy {
  const rank = ({ action }: Rule) => actionOrder.indexOf(action.kind);
  const rules = profile.rules
    .filter(({ includes, excludes }) => isIncluded(includes, context) && !isExcluded(excludes, context))
    .flatMap(({ names, action, when }) => rulesFor(names, action, when, why))
    .sort((one, other) => rank(one) - rank(other));
  return { rules, otherwise: profile.otherwise };
}

function checkArch(given: Readonly<Record<string, unknown>>, at: string, arch: Arch): void {
  const mapped = optionalArray(given.archMap, `${at}.archMap`).map((entry) => parseRecord(entry, `${at}.archMap`).architecture);
  const named = [...optionalArray(given.architectures, `${at}.architectures`), ...mapped];
  if (named.length > 0 && !named.includes(ociArches[arch]))
    throw new OptionError(`${at}.architectures`, `does not include ${ociArches[arch]}, the architecture of this machine`);
}

function readRule(value: unknown, at: string, unknown: string[]): OciRule {
  const given = parseRecord(value, at);
  const action = parseAction(given.action, given.errnoRet, at, 'action');
  const isNamed = given.name !== undefined && given.name !== '';
  if (isNamed && optionalArray(given.names, `${at}.names`).length > 0) throw new OptionError(`${at}.names`, 'cannot be combined with name');
  const named = isNamed ? [given.name] : optionalArray(given.names, `${at}.names`);
  const names = named.map((name, index) => parseString(name, `${at}.names[${index}]`));
  for (const [index, name] of names.entries()) {
    if (isSyscallName(name) || isForeignSyscallName(name)) continue;
    // An unknown name in a denying rule is an error, because the call could not be denied. In an allowing rule it is
    // harmless: the call stays denied.
    if (action.kind !== 'allow') throw new OptionError(`${at}.names[${index}]`, `unknown system call '${name}'`);
    unknown.push(name);
  }
  return {
    names,
    action,
    when: optionalArray(given.args, `${at}.args`).map((entry, index) => readCondition(entry, `${at}.args[${index}]`)),
    includes: readFilter(given.includes, `${at}.includes`),
    excludes: readFilter(given.excludes, `${at}.excludes`),
  };
}

function parseAction(value: unknown, errnoRet: unknown, owner: string, key: string, errnoKey = 'errnoRet'): Action {
  const at = `${owner}.${key}`;
  if (value === 'SCMP_ACT_NOTIFY') throw new OptionError(at, 'SCMP_ACT_NOTIFY is not supported; use the option onSyscall');
  const kind = actions[parseOneOf(value, at, actionNames)];
  return kind === 'errno'
    ? errno(errnoRet === undefined ? errnos.EPERM : parseInteger(errnoRet, `${owner}.${errnoKey}`, 0, 4095))
    : { kind };
}

function readCondition(value: unknown, at: string): OpenCondition {
  const given = parseRecord(value, at);
  const index = parseInteger(given.index, `${at}.index`, 0, 5) as OpenCondition['index'];
  const op = comparisons[parseOneOf(given.op, `${at}.op`, comparisonNames)];
  const datum = parseWord(given.value ?? 0, `${at}.value`);
  if (op !== 'masked') return { index, op, value: datum };
  return { index, op: 'eq', mask: datum, value: parseWord(given.valueTwo ?? 0, `${at}.valueTwo`) };
}

function readFilter(value: unknown, at: string): Filter {
  const given = value === undefined || value === null ? {} : parseRecord(value, at);
  const strings = (key: string) => optionalArray(given[key], `${at}.${key}`).map((entry) => parseString(entry, `${at}.${key}`));
  const version = given.minKernel === undefined ? undefined : parseVersion(given.minKernel, `${at}.minKernel`);
  return { caps: strings('caps'), arches: strings('arches'), ...(version ? { minKernel: version } : {}) };
}

function parseVersion(value: unknown, at: string): readonly [number, number] {
  const match = /^(\d+)\.(\d+)/.exec(parseString(value, at));
  if (!match) throw new OptionError(at, `expected a version like '4.8'`);
  return [Number(match[1]), Number(match[2])];
}

const isReached = ([major, minor]: readonly [number, number], { kernel }: ProfileContext): boolean =>
  kernel[0] > major || (kernel[0] === major && kernel[1] >= minor);

// As in Docker: all capabilities must be present, but only one of the architectures has to match.
function isIncluded({ caps, arches, minKernel }: Filter, context: ProfileContext): boolean {
  return (
    caps.every((cap) => context.capabilities.includes(cap)) &&
    (arches.length === 0 || arches.includes(goArches[context.arch])) &&
    (minKernel === undefined || isReached(minKernel, context))
  );
}

// Any single match excludes the rule.
function isExcluded({ caps, arches, minKernel }: Filter, context: ProfileContext): boolean {
  return (
    caps.some((cap) => context.capabilities.includes(cap)) ||
    arches.includes(goArches[context.arch]) ||
    (minKernel !== undefined && isReached(minKernel, context))
  );
}

const optionalArray = (value: unknown, at: string): readonly unknown[] =>
  value === undefined || value === null ? [] : parseArray(value, at);
