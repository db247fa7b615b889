import { createHash } from 'node:crypto';
import { OptionError } from '../base/errors';
import { host } from '../host/host';
import { compile } from '../seccomp/compile';
import { type OciProfile, resolveProfile } from '../seccomp/oci';
import { type Action, allow, type Condition, decide, notify, ownRules, type Policy, type Rule } from '../seccomp/policy';
import { defaultProfile, leaseRules, setIdRules } from '../seccomp/profile';
import type { Arch } from '../seccomp/tables';
import type { Notify } from './feature';
import { hostWrites } from './host-writes';
import type { Spec } from './spec';

/** What the launcher itself still calls once the filter is in force, and the program's own end. */
export const neededCalls = ['execve', 'write', 'mmap', 'rt_sigprocmask', 'exit_group'] as const;

/** A compiled filter. */
export interface Filter {
  readonly bytes: Uint8Array;
  readonly instructions: number;
  /** SHA-256 of the bytes, in hex. */
  readonly hash: string;
  /** SECCOMP_FILTER_FLAG_*. */
  readonly flags: number;
  /** Names that a loaded profile allows and no architecture has. */
  readonly unknown: readonly string[];
  /** No call that it allows makes a user namespace. */
  readonly refusesUserNamespaces: boolean;
}

const known = new WeakMap<object, Map<string, Filter>>();
const byContent = new Map<string, Filter>();
const maxKept = 64;
const newUser = 0x10000000n;
const wholeWord = 0xffff_ffff_ffff_ffffn;

/** The filter of a spec; equal policies are compiled once. */
export function filterFor(spec: Spec): Filter {
  if (spec.seccomp === 'off') return filterOf(spec);
  const ofPolicy = known.get(spec.seccomp) ?? new Map<string, Filter>();
  known.set(spec.seccomp, ofPolicy);
  // All that policyFor looks at beside the policy itself.
  const rest = [
    spec.nestedUserNamespaces,
    spec.netlink,
    spec.seccomp.profile && spec.capabilities.bounding,
    hostWrites(spec) !== undefined,
  ];
  const key = JSON.stringify(rest);
  const found = ofPolicy.get(key) ?? filterOf(spec);
  ofPolicy.set(key, found);
  return found;
}

function filterOf(spec: Spec): Filter {
  const policy = policyFor(spec);
  const profile = spec.seccomp === 'off' ? undefined : spec.seccomp.profile;
  const key = JSON.stringify([policy, profile?.flags], (_, value) => (typeof value === 'bigint' ? `${value}` : value));
  const found = byContent.get(key) ?? makeFilter(policy, profile);
  byContent.set(key, found);
  // A caller that makes up a policy for each run must not fill the memory with them.
  const [oldest] = byContent.keys();
  if (byContent.size > maxKept && oldest !== undefined) byContent.delete(oldest);
  return found;
}

/**
 * The filter of a program whose calls are handed over; not kept. `word`: a random number by which the launcher's own sendmsg(2), which
 * sends the listener on its way, is known: as an argument that the call does not have.
 */
export function notifyingFilter(spec: Spec, handed: Notify, word = 0n): Omit<Filter, 'refusesUserNamespaces'> {
  const policy = policyFor(spec);
  const change = (action: Action): Action =>
    (action.kind === 'errno' && handed.violations) || (action.kind === 'allow' && handed.learn) ? notify : action;
  const rules: readonly Rule[] = [
    { names: ['sendmsg'], action: allow, when: [{ index: 3, op: 'eq', value: word, width: 64 }], why: 'onSyscall' },
    { names: handed.names, action: notify, why: 'onSyscall' },
    ...policy.rules.map((rule) => ({ ...rule, action: change(rule.action) })),
  ];
  return { ...filterFor(spec), ...compiled({ rules, otherwise: change(policy.otherwise) }) };
}

/** Whether no socket of any family can be made; connected pairs reach nobody else. */
export function refusesSockets(spec: Spec): boolean {
  if (spec.seccomp === 'off') return false;
  const policy = policyFor(spec);
  const families = Array.from({ length: 64 }, (_, family) => BigInt(family));
  // A pair of datagram sockets can send to any path.
  const datagrams = [2n, 3n].every((type) => decide(policy, 'socketpair', [1n, type]).kind === 'errno');
  return datagrams && families.every((family) => decide(policy, 'socket', [family]).kind === 'errno');
}

/** What decides, as rules: the caller's denials, what nsjs itself needs, the caller's additions, then the profile. */
export function policyFor(spec: Spec): Policy {
  const { seccomp: chosen, nestedUserNamespaces, netlink, capabilities } = spec;
  if (chosen === 'off') return owned(defaultProfile({ nestedUserNamespaces, netlinkRoute: netlink }));
  const { profile, only } = chosen;
  const base = profile
    ? resolveProfile(profile, { arch: process.arch as Arch, capabilities: capabilities.bounding, kernel: host().kernel }, 'seccomp profile')
    : defaultProfile({ nestedUserNamespaces, netlinkRoute: netlink });
  // Before what the caller allows: that must not undo it.
  const guarded = hostWrites(spec) === undefined ? [] : setIdRules();
  // A caller may allow leases; a profile of another runtime's does not know of them.
  const own = profile ? [...leaseRules, ...base.rules] : base.rules;
  const policy = owned({
    rules: [...chosen.deny, ...guarded, ...chosen.allow, ...(only ? restrict(own, only) : own)],
    otherwise: base.otherwise,
  });
  if (profile) checkNeeded(policy);
  return policy;
}

const owned = ({ rules, otherwise }: Policy): Policy => ({ rules: ownRules(rules), otherwise });

function restrict(rules: readonly Rule[], only: readonly string[]): readonly Rule[] {
  const kept = new Set([...only, ...neededCalls]);
  return rules.map((rule) => ({ ...rule, names: rule.names.filter((name) => kept.has(name)) })).filter(({ names }) => names.length > 0);
}

function checkNeeded(policy: Policy): void {
  const missing = neededCalls.find((name) => !['allow', 'log'].includes(decide(policy, name, []).kind));
  if (missing) throw new OptionError('seccomp', `${missing} is needed to start the program, and the profile does not allow it`);
}

function compiled(policy: Policy): Pick<Filter, 'bytes' | 'instructions' | 'hash'> {
  const bytes = compile(policy, process.arch as Arch);
  return { bytes, instructions: bytes.length / 8, hash: createHash('sha256').update(bytes).digest('hex') };
}

function makeFilter(policy: Policy, profile: OciProfile | undefined): Filter {
  return {
    ...compiled(policy),
    flags: profile?.flags ?? 0,
    unknown: profile?.unknown ?? [],
    refusesUserNamespaces: ['clone', 'unshare'].every((name) => refusesNewUser(policy, name)) && refusesAlways(policy, 'clone3'),
  };
}

const isRefusal = ({ kind }: Action): boolean => ['errno', 'kill', 'killThread', 'trap'].includes(kind);

function refusesAlways({ rules, otherwise }: Policy, name: string): boolean {
  const own = rules.filter(({ names }) => names.includes(name));
  const end = own.findIndex(({ action, when }) => !when && isRefusal(action));
  const reached = end < 0 ? own : own.slice(0, end);
  return reached.every(({ action }) => isRefusal(action)) && (end >= 0 || isRefusal(otherwise));
}

// Whatever else is among the flags: each rule that grants the call must itself rule the flag out.
function refusesNewUser(policy: Policy, name: string): boolean {
  const rulesOut = ({ index, op, value, mask = wholeWord }: Condition) =>
    index === 0 && op === 'eq' && (mask & newUser) !== 0n && (value & newUser) === 0n;
  const rules = policy.rules.filter(({ action, when = [] }) => isRefusal(action) || !when.some(rulesOut));
  return refusesAlways({ ...policy, rules }, name);
}
