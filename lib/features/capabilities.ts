import { OptionError } from '../base/errors';
import { parseArray, parseBoolean, parseObject, parseOneOf, parseString } from '../base/parse';
import type { PlanWriter } from '../plan/writer';
import { type Dropped, feature } from './feature';
import { insideIds } from './id-map';
import { isHostUser } from './namespaces';
import type { Spec } from './spec';

/** Names of capabilities(7); the position is the number. */
export const capabilityNames = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

export type Capability = (typeof capabilityNames)[number];

export interface CapabilitiesOptions {
  /**
   * Capabilities that the program keeps, all of them over its own user namespace only (capabilities(7)). A list applies
   * to every set, including the bounding set. An object gives each set separately; sets that it omits are empty, except
   * that the bounding set defaults to the union of the other sets. Default: none.
   */
  readonly capabilities?: readonly Capability[] | 'all' | { readonly [S in CapabilitySet]?: readonly Capability[] };
  /**
   * Secure bits by the kernel's names (SECBIT_*, capabilities(7)). Default, unless the program keeps every capability:
   * `NOROOT`, `NO_SETUID_FIXUP`, their locks and the lock of `KEEP_CAPS`, and without ambient capabilities also
   * `NO_CAP_AMBIENT_RAISE` with its lock. With several ids (`user.ids`) and a program that is uid 0, the default is
   * none.
   */
  readonly securebits?: readonly SecureBit[];
  /**
   * no_new_privs (prctl(2), Linux 3.5): execve(2) grants no privileges that the program does not have. Seccomp requires
   * it. Default true.
   */
  readonly noNewPrivileges?: boolean;
}

/** The sets of a process, capabilities(7). */
export const capabilitySets = ['bounding', 'permitted', 'effective', 'inheritable', 'ambient'] as const;
export type CapabilitySet = (typeof capabilitySets)[number];
export type CapabilitiesSpec = Readonly<Record<CapabilitySet, readonly Capability[]>>;

/** SECBIT_* by name; the position is the bit. */
const secureBits = [
  'NOROOT',
  'NOROOT_LOCKED',
  'NO_SETUID_FIXUP',
  'NO_SETUID_FIXUP_LOCKED',
  'KEEP_CAPS',
  'KEEP_CAPS_LOCKED',
  'NO_CAP_AMBIENT_RAISE',
  'NO_CAP_AMBIENT_RAISE_LOCKED',
] as const;
export type SecureBit = (typeof secureBits)[number];

const closedBits: readonly SecureBit[] = ['NOROOT', 'NOROOT_LOCKED', 'NO_SETUID_FIXUP', 'NO_SETUID_FIXUP_LOCKED', 'KEEP_CAPS_LOCKED'];
const ambientBits: readonly SecureBit[] = ['NO_CAP_AMBIENT_RAISE', 'NO_CAP_AMBIENT_RAISE_LOCKED'];

export const capabilities = feature({
  key: 'capabilities',
  scope: 'program',
  parse(value = [], at): CapabilitiesSpec {
    if (value === 'all') return everySet(capabilityNames);
    if (Array.isArray(value)) return everySet(parseSet(value, at));
    const given = parseObject(value, at, capabilitySets);
    const sets = Object.fromEntries(
      capabilitySets.map((set) => [set, given[set] === undefined ? [] : parseSet(given[set], `${at}.${set}`)]),
    );
    const { permitted, effective, inheritable, ambient, bounding } = sets as CapabilitiesSpec;
    checkSubset(effective, permitted, `${at}.effective`, 'permitted');
    checkSubset(ambient, permitted, `${at}.ambient`, 'permitted');
    checkSubset(ambient, inheritable, `${at}.ambient`, 'inheritable');
    return {
      permitted,
      effective,
      inheritable,
      ambient,
      bounding: given.bounding === undefined ? [...new Set([...permitted, ...inheritable])] : bounding,
    };
  },
  emit(plan, spec, { host, hostId }) {
    const { user } = spec;
    const isRoot = user.ids !== 'one' && insideIds(user, host).uid === 0;
    const kept = isRoot ? asRoot(spec.capabilities) : spec.capabilities;
    if (!isPlainUser(spec, hostId)) {
      if (kept.bounding.length < capabilityNames.length) plan.op('program', 'capabilities', 'BoundCaps', ...words(kept.bounding));
      const bits = spec.securebits ?? (isRoot ? [] : defaultBits(kept));
      if (bits.length > 0)
        plan.op(
          'program',
          'securebits',
          'Securebits',
          bits.reduce((all, bit) => all | (1 << secureBits.indexOf(bit)), 0),
        );
    }
    // In the host's user namespace, or with several ids, the process is still root at this point.
    if (isHostUser(spec) && hostId !== undefined) emitIds(plan, user.uid ?? hostId, user.gid ?? hostId);
    else if (user.ids !== 'one') emitIds(plan, insideIds(user, host).uid, insideIds(user, host).gid);
    const sets = [kept.effective, kept.permitted, kept.inheritable, kept.ambient].flatMap(words);
    plan.op('program', 'capabilities', 'SetCaps', new Uint8Array(Uint32Array.from(sets).buffer));
  },
});

export const securebits = feature({
  key: 'securebits',
  parse: (value, at): readonly SecureBit[] | undefined =>
    value === undefined ? undefined : parseArray(value, at).map((bit, index) => parseOneOf(bit, `${at}[${index}]`, secureBits)),
});

// With several ids, root has its capabilities because it is uid 0, and loses them when it changes its uid. Programs
// that switch users expect this.
const asRoot = (kept: CapabilitiesSpec): CapabilitiesSpec =>
  // An option given as one list yields the same array in every set.
  kept.ambient === kept.permitted ? { ...kept, inheritable: [], ambient: [] } : kept;

const everySet = (kept: readonly Capability[]): CapabilitiesSpec =>
  Object.fromEntries(capabilitySets.map((set) => [set, kept])) as unknown as CapabilitiesSpec;

const parseSet = (value: unknown, at: string): readonly Capability[] => [
  ...new Set(parseArray(value, at).map((entry, index) => parseCapability(entry, `${at}[${index}]`))),
];

function checkSubset(part: readonly Capability[], whole: readonly Capability[], at: string, name: CapabilitySet): void {
  const stray = part.find((one) => !whole.includes(one));
  if (stray) throw new OptionError(at, `${stray} is not in the ${name} set: add it to ${name}, or remove it here`);
}

const defaultBits = (kept: CapabilitiesSpec): readonly SecureBit[] => {
  if (kept.permitted.length === capabilityNames.length) return [];
  return kept.ambient.length === 0 ? [...closedBits, ...ambientBits] : closedBits;
};

function emitIds(plan: PlanWriter, uid: number, gid: number): void {
  plan.op('program', 'user', 'SetGroups', new Uint8Array());
  plan.op('program', 'user', 'SetIds', uid, gid);
}

// An unprivileged caller in the host's user namespace has no capabilities to drop, and lacks CAP_SETPCAP, which is
// required to drop capabilities from the bounding set.
const isPlainUser = (spec: Spec, hostId: number | undefined): boolean => hostId === undefined && isHostUser(spec);

const elsewhere = 'run nsjs where it can create user namespaces, see `nsjs probe`';

/** Reports the privileges that an unprivileged caller without a user namespace cannot give up. */
export const privilegesDropped = (spec: Spec, hostId: number | undefined): readonly Dropped[] =>
  isPlainUser(spec, hostId)
    ? [
        {
          control: 'capabilities',
          reason:
            'without a user namespace an unprivileged caller cannot change the bounding set and the securebits; no_new_privs prevents the program from gaining privileges through them',
          fix: elsewhere,
        },
        {
          control: 'mounts',
          reason: "the program can read names, sizes and times of the host's files, and change modes and times of files that it may open",
          fix: elsewhere,
        },
      ]
    : [];

export const noNewPrivileges = feature({
  key: 'noNewPrivileges',
  scope: 'program',
  parse: (value = true, at): boolean => parseBoolean(value, at),
  emit(plan, spec) {
    if (spec.noNewPrivileges) plan.op('program', 'noNewPrivileges', 'NoNewPrivs');
    else if (spec.seccomp !== 'off')
      throw new OptionError('noNewPrivileges', "must not be false while seccomp is enabled: leave it out, or set seccomp: 'off' as well");
  },
});

function parseCapability(value: unknown, at: string): Capability {
  const name = parseString(value, at);
  const found = capabilityNames.find((known) => known === name);
  if (!found) throw new OptionError(at, `expected the name of a capability like 'CAP_NET_BIND_SERVICE', received '${name}'`);
  return found;
}

function words(kept: readonly Capability[]): readonly [low: number, high: number] {
  const bits = kept.map((name) => capabilityNames.indexOf(name));
  const word = (from: number) =>
    bits.filter((bit) => bit >= from && bit < from + 32).reduce((all, bit) => (all | (1 << (bit - from))) >>> 0, 0);
  return [word(0), word(32)];
}

declare module './spec' {
  interface Spec {
    readonly capabilities: ReturnType<(typeof capabilities)['parse']>;
    readonly securebits: ReturnType<(typeof securebits)['parse']>;
    readonly noNewPrivileges: ReturnType<(typeof noNewPrivileges)['parse']>;
  }
}
