import { randomBytes } from 'node:crypto';
import { OptionError } from '../base/errors';
import { deepFreeze, parseObject } from '../base/parse';
import { type OciProfile, readProfile } from '../seccomp/oci';
import { allow, errno, type Rule } from '../seccomp/policy';
import { parseNames, parseRules, type SeccompRule } from '../seccomp/rules';
import type { Arch } from '../seccomp/tables';
import { feature } from './feature';
import { filterFor, neededCalls, notifyingFilter } from './seccomp-filter';

/** What a filter is made of, in place of the default profile or on top of it. */
export interface SeccompSource {
  /** Added: names, groups ('@mount') or rules with conditions. Without conditions a call is allowed whatever its arguments. */
  readonly allow?: readonly (string | SeccompRule)[];
  /** Taken away; they answer EPERM, or what the rule says. Denied is denied, whatever is allowed beside it. */
  readonly deny?: readonly (string | SeccompRule)[];
  /** Of nsjs's own profile only these, and what starting a program takes: what learning mode returns. */
  readonly only?: readonly string[];
  /** A profile of Docker, Podman or containers-common as parsed JSON, in place of nsjs's own. */
  readonly docker?: object;
  /** The same format. */
  readonly podman?: object;
  /** `linux.seccomp` of the OCI runtime spec as parsed JSON, in place of nsjs's own profile. */
  readonly oci?: object;
}

export interface SeccompOptions {
  /**
   * The system calls the program may make, seccomp(2). `'default'`: the allow-list of nsjs for the native ABI; other
   * ABIs are refused, calls that are not listed answer ENOSYS. An object changes it, or puts a profile of Docker, Podman or the
   * OCI runtime spec in its place. A profile never loosens what nsjs itself needs: other ABIs are refused, and set-id modes
   * where a bind is writable. `'off'`: no filter. `seccompFilter()` shows what comes out.
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
/** Says what a descriptor that is sent up is. */
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
    if (profile && given.only !== undefined) throw new OptionError(`${at}.only`, "is a part of nsjs's own profile; give no other with it");
    const deny = parseRules(given.deny, `${at}.deny`, errno, `${at}.deny`);
    const lost = neededCalls.find((name) => deny.some(({ names, when }) => names.includes(name) && !when));
    if (lost) throw new OptionError(`${at}.deny`, `${lost} is needed to start the program`);
    return deepFreeze({
      allow: parseRules(given.allow, `${at}.allow`, () => allow, `${at}.allow`),
      deny,
      ...(given.only === undefined ? {} : { only: parseNames(given.only, `${at}.only`) }),
      ...(profile ? { profile } : {}),
    });
  },
  emit(plan, spec, { program, host }) {
    const { notify } = program;
    if (spec.seccomp === 'off') {
      if (notify) throw new OptionError('seccomp', "'off' leaves nothing to hand system calls over");
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
  if (other !== undefined) throw new OptionError(`${at}.${other}`, `excludes ${at}.${key}`);
  return readProfile(given[key], `${at}.${key}`, process.arch as Arch);
}

declare module './spec' {
  interface Spec {
    readonly seccomp: ReturnType<(typeof seccomp)['parse']>;
  }
}
