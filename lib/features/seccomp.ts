import { createHash } from 'node:crypto';
import { OptionError } from '../errors';
import { parseArray, parseObject, parseString } from '../parse';
import { compile } from '../seccomp/compile';
import { allow, errno, type Policy } from '../seccomp/policy';
import { defaultProfile } from '../seccomp/profile';
import { type Arch, isSyscallName } from '../seccomp/tables';
import { feature } from './feature';
import type { Spec } from './index';

export interface SeccompOptions {
  /**
   * The system calls the program may make, seccomp(2). `'default'`: the allow-list of nsjs for the native ABI; other
   * ABIs are refused, calls that are not listed answer ENOSYS. An object changes it: `allow` adds calls whatever their
   * arguments, `deny` takes calls away (EPERM). `'off'`: no filter.
   */
  readonly seccomp?: 'default' | 'off' | { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
}

export type SeccompSpec = 'off' | { readonly allow: readonly string[]; readonly deny: readonly string[] };

/** Calls that can make a set-id file; the profile looks at their modes. */
const setIdCalls: readonly string[] = [
  'chmod',
  'fchmod',
  'fchmodat',
  'fchmodat2',
  'open',
  'openat',
  'openat2',
  'creat',
  'mknod',
  'mknodat',
];

/** What the launcher itself still calls once the filter is in force. */
const needed = ['execve', 'write', 'mmap', 'rt_sigprocmask', 'exit_group'];
const eperm = 1;

export const seccomp = feature({
  key: 'seccomp',
  scope: 'program',
  parse(value = 'default', at): SeccompSpec {
    if (value === 'off') return 'off';
    if (typeof value === 'string' && value !== 'default')
      throw new OptionError(at, `expected 'default', 'off' or an object, received '${value}'`);
    const given = value === 'default' ? {} : parseObject(value, at, ['allow', 'deny']);
    const spec = { allow: parseNames(given.allow, `${at}.allow`), deny: parseNames(given.deny, `${at}.deny`) };
    const lost = needed.find((name) => spec.deny.includes(name));
    if (lost) throw new OptionError(`${at}.deny`, `${lost} is needed to start the program`);
    return spec;
  },
  emit(plan, spec) {
    if (spec.seccomp !== 'off') plan.op('program', 'seccomp', 'Seccomp', filterFor(spec).bytes, 0);
  },
});

/** A compiled filter. */
export interface Filter {
  readonly bytes: Uint8Array;
  readonly instructions: number;
  /** SHA-256 of the bytes, in hex. */
  readonly hash: string;
}

const compiled = new Map<string, Filter>();

/** The filter of a spec; equal policies are compiled once. */
export function filterFor(spec: Spec): Filter {
  const key = JSON.stringify([spec.seccomp, spec.nestedUserNamespaces, spec.netlink]);
  const found = compiled.get(key) ?? makeFilter(policyFor(spec));
  compiled.set(key, found);
  return found;
}

export function policyFor({ seccomp: chosen, nestedUserNamespaces, netlink }: Spec): Policy {
  const base = defaultProfile({ nestedUserNamespaces, netlinkRoute: netlink });
  if (chosen === 'off') return base;
  const changes = [
    { names: chosen.deny, action: errno(eperm), why: 'seccomp.deny' },
    { names: chosen.allow, action: allow, why: 'seccomp.allow' },
  ];
  return { ...base, rules: [...changes, ...base.rules] };
}

function makeFilter(policy: Policy): Filter {
  const bytes = compile(policy, process.arch as Arch);
  return { bytes, instructions: bytes.length / 8, hash: createHash('sha256').update(bytes).digest('hex') };
}

function parseNames(value: unknown, at: string): readonly string[] {
  if (value === undefined) return [];
  return parseArray(value, at).map((entry, index) => {
    const name = parseString(entry, `${at}[${index}]`);
    if (!isSyscallName(name)) throw new OptionError(`${at}[${index}]`, `no system call is named '${name}'`);
    return name;
  });
}

/** The filter is what keeps a program from leaving a set-id file of the folder's owner on the host. Throws an OptionError without. */
export function refuseSetIdHole({ mounts, seccomp: chosen }: Spec): void {
  const index = mounts.findIndex((mount) => mount.type === 'bind' && !mount.readonly);
  if (index < 0) return;
  const hole =
    chosen === 'off' ? "is 'off'" : chosen.allow.some((name) => setIdCalls.includes(name)) ? 'allows a call that makes them' : undefined;
  if (hole) throw new OptionError(`mounts[${index}].readonly`, `a writable bind needs seccomp, which refuses set-id files; it ${hole}`);
}
