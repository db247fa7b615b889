import { randomBytes } from 'node:crypto';
import { OptionError } from '../base/errors';
import { deepFreeze, parseObject } from '../base/parse';
import { type OciProfile, readProfile } from '../seccomp/oci';
import { type Action, allow, errno, type Rule } from '../seccomp/policy';
import { rulesOfReplaced } from '../seccomp/replaced';
import { parseNames, parseRules, type SeccompRule } from '../seccomp/rules';
import type { Arch } from '../seccomp/tables';
import { feature } from './feature';
import { filterFor, neededCalls, notifyingFilter } from './seccomp-filter';

/** Changes to the default profile, or a profile that replaces it. */
export interface SeccompSource {
  /**
   * Additional calls: names, groups ('@mount') or rules with conditions. Without conditions a call is allowed with any
   * arguments.
   */
  readonly allow?: readonly (string | SeccompRule)[];
  /**
   * Denied calls. They fail with EPERM or the error of the rule. A denial takes precedence over `allow`. arm64 lacks
   * older calls that name a path; there, the denial of such a call (`mkdir`) applies to the call that the C library
   * makes instead (`mkdirat` with AT_FDCWD).
   */
  readonly deny?: readonly (string | SeccompRule)[];
  /**
   * Restricts nsjs's own profile to these calls and those needed to start a program. Learning mode returns such a list.
   */
  readonly only?: readonly string[];
  /** A profile of Docker, Podman or containers-common as parsed JSON. Replaces nsjs's own. */
  readonly docker?: object;
  /** A profile in the same format as `docker`. */
  readonly podman?: object;
  /** `linux.seccomp` of the OCI runtime spec as parsed JSON. Replaces nsjs's own profile. */
  readonly oci?: object;
}

export interface SeccompOptions {
  /**
   * System calls that the program may make, seccomp(2). `'default'`: the allow-list of nsjs for the native ABI; other
   * ABIs are refused, and calls that are not listed fail with ENOSYS. An object changes this list, or replaces it by a
   * profile of Docker, Podman or the OCI runtime spec. A profile never disables the restrictions that nsjs itself
   * needs: other ABIs are refused, and so are set-id modes if a bind is writable. `'off'`: no filter. `seccompFilter()`
   * shows the result.
   */
  readonly seccomp?: 'default' | 'off' | SeccompSource;
}

export type SeccompSpec =
  | 'off'
  | {
      readonly allow: readonly Rule[];
      readonly deny: readonly Rule[];
      readonly only?: readonly string[];
      readonly profile?: OciProfile;
    };

/** SECCOMP_FILTER_FLAG_*. */
const listenerFlags = { newListener: 0x8, waitKillable: 0x20 } as const;
/** Identifies the seccomp listener among the descriptors that a launcher sends. */
export const notifyFd = 3;

const keys = ['allow', 'deny', 'only', 'docker', 'podman', 'oci'] as const;
const profileKeys = ['docker', 'podman', 'oci'] as const;

export const seccomp = feature({
  key: 'seccomp',
  scope: 'program',
  parse(value = 'default', at): SeccompSpec {
    if (value === 'off') return 'off';
    if (typeof value === 'string' && value !== 'default')
      throw new OptionError(at, `expected 'default', 'off' or an object, received '${value}'`);
    const given = parseObject(value === 'default' ? {} : value, at, keys);
    const profile = parseProfile(given, at);
    if (profile && given.only !== undefined)
      throw new OptionError(`${at}.only`, "restricts nsjs's own profile: it cannot be combined with another profile");
    const rules = (key: 'allow' | 'deny', action: (number: number) => Action) =>
      given[key] === undefined ? [] : parseRules(given[key], `${at}.${key}`, action, `${at}.${key}`);
    const named = rules('deny', errno);
    const deny = named.length === 0 ? named : [...named, ...rulesOfReplaced(named, process.arch as Arch)];
    const lost = neededCalls.find((name) => deny.some(({ names, when }) => names.includes(name) && !when));
    if (lost) throw new OptionError(`${at}.deny`, `${lost} is needed to start the program`);
    return deepFreeze({
      allow: rules('allow', () => allow),
      deny,
      ...(given.only === undefined ? {} : { only: parseNames(given.only, `${at}.only`) }),
      ...(profile ? { profile } : {}),
    });
  },
  emit(plan, spec, { program, host }) {
    const { notify } = program;
    if (spec.seccomp === 'off') {
      if (notify)
        throw new OptionError('seccomp', "'off' installs no filter, which is needed to hand system calls to this process: write 'default'");
      return;
    }
    if (!notify) {
      const { bytes, flags } = filterFor(spec);
      plan.op('program', 'seccomp', 'Seccomp', bytes, flags);
      return;
    }
    const word = randomBytes(8);
    const { bytes, flags } = notifyingFilter(spec, notify, word.readBigUInt64LE(0));
    const [major, minor] = host.kernel;
    const waitKillable = major > 5 || (major === 5 && minor >= 19) ? listenerFlags.waitKillable : 0;
    const all = flags | listenerFlags.newListener | waitKillable;
    plan.op('program', 'onSyscall', 'SeccompNotify', bytes, all, notifyFd, word.readUInt32LE(0), word.readUInt32LE(4));
  },
});

function parseProfile(given: Partial<Record<(typeof keys)[number], unknown>>, at: string): OciProfile | undefined {
  const [key, other] = profileKeys.filter((name) => given[name] !== undefined);
  if (key === undefined) return undefined;
  if (other !== undefined) throw new OptionError(`${at}.${other}`, `cannot be combined with ${at}.${key}`);
  return readProfile(given[key], `${at}.${key}`, process.arch as Arch);
}

declare module './spec' {
  interface Spec {
    readonly seccomp: ReturnType<(typeof seccomp)['parse']>;
  }
}
