import { randomBytes } from 'node:crypto';
import { OptionError } from '../base/errors';
import { deepFreeze, parseObject } from '../base/parse';
import { type OciProfile, readProfile } from '../seccomp/oci';
import { allow, errno, type Rule } from '../seccomp/policy';
import { parseNames, parseRules, type SeccompRule } from '../seccomp/rules';
import type { Arch } from '../seccomp/tables';
import { feature } from './feature';
import type { Spec } from './index';
import { filterFor, notifyingFilter } from './seccomp-filter';

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

/** Calls that can make a set-id file; the profile looks at their modes, and refuses those whose modes it cannot see. */
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
  'io_uring_setup',
  'io_uring_enter',
  'io_uring_register',
];

/** What the launcher itself still calls once the filter is in force, and the program's own end. */
export const neededCalls = ['execve', 'write', 'mmap', 'rt_sigprocmask', 'exit_group'] as const;

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

/** The option by which what the program writes is a file of the host; undefined if none does. */
export function hostWrites({ root, mounts, namespaces, landlock }: WritesSpec): string | undefined {
  for (const [index, mount] of mounts.entries()) {
    if (mount.type === 'bind' && !mount.readonly) return `mounts[${index}].readonly`;
    if (mount.type === 'overlay' && mount.upper !== 'memory') return `mounts[${index}].upper`;
    if (mount.type === 'tree') return `mounts[${index}].tree`;
  }
  if (typeof root === 'object' && root.upper !== 'memory') return 'root.upper';
  // Without mounts of its own, Landlock says what of the host's files it writes.
  return !namespaces.mnt && landlock.level !== 'off' ? 'landlock' : undefined;
}

type WritesSpec = Pick<Spec, 'root' | 'mounts' | 'namespaces' | 'landlock'>;

/**
 * A file with set-id bits or capabilities that is left on the host is a way to its owner's rights there. The filter refuses the
 * modes; what would let a program past it is refused here. Throws an OptionError.
 */
export function refuseSetIdHole(spec: WritesSpec & Pick<Spec, 'seccomp' | 'nestedUserNamespaces' | 'capabilities'>): void {
  const at = hostWrites(spec);
  if (at === undefined) return;
  const holes = setIdHoles(spec);
  if (holes.length > 0)
    throw new OptionError(
      at,
      `a folder of the host that can be written is not safe ${holes.map(([what]) => what).join(' and ')}: set-id files or file capabilities could stay in it. ` +
        `Write ${holes.map(([, fix]) => fix).join(', ')}; or keep what is written in memory, as an overlay of that folder does`,
    );
}

// All at once, each with what to write instead: a preset may have brought several.
function setIdHoles({
  seccomp: chosen,
  nestedUserNamespaces,
  capabilities,
}: Pick<Spec, 'seccomp' | 'nestedUserNamespaces' | 'capabilities'>): readonly (readonly [what: string, fix: string])[] {
  const allowed = chosen === 'off' ? undefined : chosen.allow.flatMap(({ names }) => names).find((name) => setIdCalls.includes(name));
  const hasSetFcap = Object.values(capabilities).some((set) => set.includes('CAP_SETFCAP'));
  return [
    ...(chosen === 'off' ? [["with seccomp: 'off'", "seccomp: 'default'"] as const] : []),
    ...(allowed === undefined
      ? []
      : [[`where seccomp.allow names ${allowed}`, "seccomp: 'default', or an allow list without it"] as const]),
    ...(nestedUserNamespaces ? [['with nestedUserNamespaces', 'nestedUserNamespaces: false'] as const] : []),
    ...(hasSetFcap ? [['with CAP_SETFCAP', 'capabilities without CAP_SETFCAP'] as const] : []),
  ];
}
