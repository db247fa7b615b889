import { createHash } from 'node:crypto';
import { OptionError } from '../errors';
import { host } from '../host';
import { compile } from '../seccomp/compile';
import { type OciProfile, resolveProfile } from '../seccomp/oci';
import { type Action, allow, decide, notify, type Policy, type Rule } from '../seccomp/policy';
import { defaultProfile, setIdRules } from '../seccomp/profile';
import type { Arch } from '../seccomp/tables';
import type { Notify } from './feature';
import type { Spec } from './index';
import { hostWrites, neededCalls } from './seccomp';

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

// MSG_NOSIGNAL | MSG_CONFIRM: how the launcher sends the listener on its way.
const listenerFlags = 0x4800n;

/** The filter of a program whose calls are handed over; not kept. */
export function notifyingFilter(spec: Spec, handed: Notify): Omit<Filter, 'refusesUserNamespaces'> {
  const policy = policyFor(spec);
  const change = (action: Action): Action =>
    (action.kind === 'errno' && handed.violations) || (action.kind === 'allow' && handed.learn) ? notify : action;
  const rules: readonly Rule[] = [
    { names: ['sendmsg'], action: allow, when: [{ index: 2, op: 'eq', value: listenerFlags, width: 32 }], why: 'onSyscall' },
    { names: handed.names, action: notify, why: 'onSyscall' },
    ...policy.rules.map((rule) => ({ ...rule, action: change(rule.action) })),
  ];
  return { ...filterFor(spec), ...compiled({ rules, otherwise: change(policy.otherwise) }) };
}

/** Whether no socket of any family can be made; pairs of them reach nobody else. */
export function refusesSockets(spec: Spec): boolean {
  if (spec.seccomp === 'off') return false;
  const policy = policyFor(spec);
  const families = Array.from({ length: 64 }, (_, family) => BigInt(family));
  return families.every((family) => decide(policy, 'socket', [family]).kind === 'errno');
}

/** What decides, as rules: the caller's denials, what nsjs itself needs, the caller's additions, then the profile. */
export function policyFor(spec: Spec): Policy {
  const { seccomp: chosen, nestedUserNamespaces, netlink, capabilities } = spec;
  if (chosen === 'off') return defaultProfile({ nestedUserNamespaces, netlinkRoute: netlink });
  const { profile, only } = chosen;
  const base = profile
    ? resolveProfile(profile, { arch: process.arch as Arch, capabilities: capabilities.bounding, kernel: host().kernel }, 'seccomp profile')
    : defaultProfile({ nestedUserNamespaces, netlinkRoute: netlink });
  const guarded = profile && hostWrites(spec) !== undefined ? setIdRules() : [];
  const policy = {
    rules: [...chosen.deny, ...guarded, ...chosen.allow, ...(only ? restrict(base.rules, only) : base.rules)],
    otherwise: base.otherwise,
  };
  if (profile) checkNeeded(policy);
  return policy;
}

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
  const isRefused = (name: string, ...args: readonly bigint[]) =>
    ['errno', 'kill', 'killThread', 'trap'].includes(decide(policy, name, args).kind);
  return {
    ...compiled(policy),
    flags: profile?.flags ?? 0,
    unknown: profile?.unknown ?? [],
    refusesUserNamespaces: isRefused('clone', newUser) && isRefused('unshare', newUser) && isRefused('clone3'),
  };
}
