import { OptionError } from '../errors';
import { parseArray, parseBoolean, parseString } from '../parse';
import { type Dropped, feature } from './feature';
import type { Spec } from './index';
import { isHostUser } from './namespaces';

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
   * Capabilities that the program keeps, all of them over its own user namespace only (capabilities(7)).
   * Every set, the bounding set included, is cut down to them. Default: none.
   */
  readonly capabilities?: readonly Capability[] | 'all';
  /** no_new_privs (prctl(2), Linux 3.5): no execve(2) grants more than the program has. Default true; seccomp needs it. */
  readonly noNewPrivileges?: boolean;
}

// SECBIT_NOROOT, SECBIT_NO_SETUID_FIXUP, SECBIT_KEEP_CAPS off, SECBIT_NO_CAP_AMBIENT_RAISE, each with its lock.
const securebits = { noRoot: 0x3, noSetuidFixup: 0xc, keepCapsLocked: 0x20, noAmbientRaise: 0xc0 } as const;

export const capabilities = feature({
  key: 'capabilities',
  scope: 'program',
  parse(value = [], at): readonly Capability[] {
    if (value === 'all') return capabilityNames;
    return [...new Set(parseArray(value, at).map((entry, index) => parseCapability(entry, `${at}[${index}]`)))];
  },
  emit(plan, spec, { hostId }) {
    const { capabilities: kept, user } = spec;
    const [low, high] = words(kept);
    if (kept.length < capabilityNames.length && !isPlainUser(spec, hostId)) {
      plan.op('program', 'capabilities', 'BoundCaps', low, high);
      const ambient = kept.length === 0 ? securebits.noAmbientRaise : 0;
      plan.op('program', 'capabilities', 'Securebits', securebits.noRoot | securebits.noSetuidFixup | securebits.keepCapsLocked | ambient);
    }
    // Sharing the host's user namespace, the program still is root here.
    if (isHostUser(spec) && hostId !== undefined) {
      plan.op('program', 'user', 'SetGroups', new Uint8Array());
      plan.op('program', 'user', 'SetIds', user.uid ?? hostId, user.gid ?? hostId);
    }
    plan.op('program', 'capabilities', 'SetCaps', low, high);
  },
});

// A user of the host has no capability to lose, and none to give up the bounding set with.
const isPlainUser = (spec: Spec, hostId: number | undefined): boolean => hostId === undefined && isHostUser(spec);

/** What a user without a user namespace can't give up. */
export const privilegesDropped = (spec: Spec, hostId: number | undefined): readonly Dropped[] =>
  isPlainUser(spec, hostId)
    ? [
        {
          control: 'capabilities',
          reason: 'the bounding set and the securebits stay as they are; no_new_privs keeps anything from being gained by them',
          fix: 'run where user namespaces can be made, see `nsjs probe`',
        },
      ]
    : [];

export const noNewPrivileges = feature({
  key: 'noNewPrivileges',
  scope: 'program',
  parse: (value = true, at): boolean => parseBoolean(value, at),
  emit(plan, spec) {
    if (spec.noNewPrivileges) plan.op('program', 'noNewPrivileges', 'NoNewPrivs');
    else if (spec.seccomp !== 'off') throw new OptionError('noNewPrivileges', "is needed for seccomp; set seccomp: 'off' as well");
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
