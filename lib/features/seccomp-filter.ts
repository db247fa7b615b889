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
import { type Filter, filterText, precompiledFilter } from './precompiled-filters';
import type { Spec } from './spec';

/** System calls that the launcher still makes when the filter is in force, and the call that ends the program. */
export const neededCalls = ['execve', 'write', 'mmap', 'rt_sigprocmask', 'exit_group'] as const;

const known = new WeakMap<object, Map<string, Filter>>();
const byContent = new Map<string, Filter>();
const maxKept = 64;
const newUser = 0x10000000n;
const wholeWord = 0xffff_ffff_ffff_ffffn;

/** Returns the filter of a spec. Equal policies are compiled only once, and those of presets when nsjs is built. */
export function filterFor(spec: Spec): Filter {
  if (spec.seccomp === 'off') return filterOf(spec);
  const { allow: allowed, deny, only, profile } = spec.seccomp;
  const ofPolicy = known.get(spec.seccomp) ?? new Map<string, Filter>();
  known.set(spec.seccomp, ofPolicy);
  // Everything that policyFor() reads besides the policy itself.
  const rest = [spec.nestedUserNamespaces, spec.netlink, hostWrites(spec) !== undefined] as const;
  const key = JSON.stringify([...rest, profile && spec.capabilities.bounding]);
  const precompiled = () => (profile === undefined ? precompiledFilter([allowed, deny, only ?? null, ...rest]) : undefined);
  const found = ofPolicy.get(key) ?? precompiled() ?? filterOf(spec);
  ofPolicy.set(key, found);
  return found;
}

function filterOf(spec: Spec): Filter {
  const policy = policyFor(spec);
  const profile = spec.seccomp === 'off' ? undefined : spec.seccomp.profile;
  const key = filterText([policy, profile?.flags]);
  const found = byContent.get(key) ?? makeFilter(policy, profile);
  byContent.set(key, found);
  // The cache is bounded because a caller may generate a new policy for each run.
  const [oldest] = byContent.keys();
  if (byContent.size > maxKept && oldest !== undefined) byContent.delete(oldest);
  return found;
}

/**
 * Returns the filter of a program whose system calls are handed to this process. It is not cached. `word` is a random
 * number by which the filter recognizes the sendmsg(2) with which the launcher sends the listener; the launcher passes
 * it as an argument that this call does not have.
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

/**
 * Returns whether no socket of any family can be created. Connected socket pairs may be allowed: they reach no other
 * process.
 */
export function refusesSockets(spec: Spec): boolean {
  if (spec.seccomp === 'off') return false;
  const policy = policyFor(spec);
  const families = Array.from({ length: 64 }, (_, family) => BigInt(family));
  // A socket of a datagram pair can send to any path.
  const datagrams = [2n, 3n].every((type) => decide(policy, 'socketpair', [1n, type]).kind === 'errno');
  return datagrams && families.every((family) => decide(policy, 'socket', [family]).kind === 'errno');
}

/**
 * Returns the rules that decide, in this order: the caller's denials, rules that nsjs itself needs, the caller's
 * additions, then the profile.
 */
export function policyFor(spec: Spec): Policy {
  const { seccomp: chosen, nestedUserNamespaces, netlink, capabilities } = spec;
  if (chosen === 'off') return owned(defaultProfile({ nestedUserNamespaces, netlinkRoute: netlink }));
  const { profile, only } = chosen;
  const base = profile
    ? resolveProfile(profile, { arch: process.arch as Arch, capabilities: capabilities.bounding, kernel: host().kernel }, 'seccomp profile')
    : defaultProfile({ nestedUserNamespaces, netlinkRoute: netlink });
  // These rules precede the caller's `allow`, which must not override them.
  const guarded = hostWrites(spec) === undefined ? [] : setIdRules();
  // A caller may allow leases, so these rules follow its `allow`. The profile of another runtime lacks them.
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
  if (missing) throw new OptionError('seccomp', `the profile does not allow ${missing}, which is needed to start the program`);
}

function compiled(policy: Policy): Pick<Filter, 'bytes' | 'instructions' | 'hash'> {
  const bytes = compile(policy, process.arch as Arch);
  return { bytes, instructions: bytes.length / 8, hash: createHash('sha256').update(bytes).digest('hex') };
}

/** Compiles a filter for this architecture. */
export function makeFilter(policy: Policy, profile?: OciProfile): Filter {
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

// Other flags may be set as well, so each rule that grants the call must itself exclude CLONE_NEWUSER.
function refusesNewUser(policy: Policy, name: string): boolean {
  const rulesOut = ({ index, op, value, mask = wholeWord }: Condition) =>
    index === 0 && op === 'eq' && (mask & newUser) !== 0n && (value & newUser) === 0n;
  const rules = policy.rules.filter(({ action, when = [] }) => isRefusal(action) || !when.some(rulesOut));
  return refusesAlways({ ...policy, rules }, name);
}
