import { type CapabilitiesOptions, capabilities, noNewPrivileges, securebits } from './capabilities';
import { type CgroupOptions, cgroup, clock, joinCgroup, joinProgramGroup } from './cgroup';
import { countShares } from './counts';
import { argv0, cwd, type EnvOptions, env } from './env';
import type { Feature, Step } from './feature';
import { freezer, joinFreezer } from './freezer';
import { coreScheduling, type HardeningOptions, memoryDenyWriteExecute, speculation, tscDeny } from './hardening';
import { domainname, type HostnameOptions, hostname } from './hostname';
import { apparmorProfile, type LabelOptions, openLabels, selinuxLabel } from './labels';
import { type LandlockOptions, landlock, mqueueForLandlock } from './landlock';
import { type LauncherPathOptions, launcherPath } from './launcher-path';
import { type LimitsOptions, limits } from './limits';
import { lateNamespaces, type NamespacesOptions, namespaces } from './namespaces';
import { type NestedUserNamespacesOptions, nestedUserNamespaces } from './nested-user-namespaces';
import { type NetlinkOptions, netlink } from './netlink';
import { type NetworkOptions, network } from './network';
import { keyring, newSession, type ProcessOptions, personality, umask } from './process';
import { adoptOrphans, descriptors, exec, openHostNull, openOwnNull, releaseProgram, startBeside, startLater } from './program';
import { type RlimitsOptions, rlimits } from './rlimits';
import { ownMounts } from './root/empty-namespace';
import { type MountsOptions, mounts } from './root/mounts';
import { type ProcOptions, proc } from './root/proc';
import { type RootOptions, root, rootTree } from './root/root';
import { type ScratchOptions, scratch } from './root/scratch';
import { affinity, ioPriority, nice, oomScoreAdj, type SchedulingOptions, scheduler } from './scheduling';
import { type SeccompOptions, seccomp } from './seccomp';
import type { Spec } from './spec';
import { type StateDirOptions, stateDir } from './state-dir';
import { openTerminal, type TerminalOptions, terminal } from './terminal';
import { type TimeOptions, time, timeOffsets } from './time';
import { deathSignal, innerUser, programUser, type UserOptions, user } from './user';
import { openVerifyProc, type VerifyOptions, verify, verifyMounts } from './verify';

/** Names of the presets. */
export const presetNames = ['untrusted', 'node', 'build', 'container', 'landlock', 'none'] as const;
export type PresetName = (typeof presetNames)[number];

/** What a sandbox may be given; every key is one feature. All of it is plain data. */
export interface SandboxOptions
  extends NamespacesOptions,
    UserOptions,
    RootOptions,
    MountsOptions,
    ProcOptions,
    ScratchOptions,
    HostnameOptions,
    NetworkOptions,
    NetlinkOptions,
    TimeOptions,
    TerminalOptions,
    NestedUserNamespacesOptions,
    EnvOptions,
    ProcessOptions,
    LimitsOptions,
    RlimitsOptions,
    CgroupOptions,
    CapabilitiesOptions,
    SchedulingOptions,
    HardeningOptions,
    LabelOptions,
    LandlockOptions,
    VerifyOptions,
    SeccompOptions,
    LauncherPathOptions,
    StateDirOptions {
  /** Where the options start from; what is written beside it is changed. Default `'untrusted'`. See `presets`. */
  readonly preset?: PresetName;
}

/** Every option, by its key. */
export const features = {
  namespaces,
  user,
  root,
  mounts,
  proc,
  scratch,
  hostname,
  domainname,
  time,
  terminal,
  network,
  netlink,
  nestedUserNamespaces,
  env,
  cwd,
  argv0,
  newSession,
  keyring,
  umask,
  limits,
  rlimits,
  cgroup,
  nice,
  ioPriority,
  scheduler,
  affinity,
  oomScoreAdj,
  personality,
  memoryDenyWriteExecute,
  coreScheduling,
  tscDeny,
  speculation,
  apparmorProfile,
  selinuxLabel,
  capabilities,
  securebits,
  noNewPrivileges,
  landlock,
  seccomp,
  verify,
  launcherPath,
  stateDir,
} as const satisfies { readonly [Key in keyof Spec]: Feature<Key, Spec[Key]> };

/**
 * THE list: in each section of the plan the operations come in this order, which is the order of a safe set-up.
 * What needs privileges precedes what gives them up; seccomp is the last before exec.
 */
export const steps: readonly Step[] = [
  cgroup, // host: the group and its limits; after: its last words, then away with it
  freezer,
  clock,
  namespaces, // clone
  joinCgroup, // init's first act, before it can use anything
  joinFreezer,
  user, // ids of init
  countShares, // while its rights over the namespace are whole
  oomScoreAdj, // inherited by all that init starts
  deathSignal, // after the ids: changing them clears it
  lateNamespaces, // in the cgroup and before the fork
  timeOffsets,
  nestedUserNamespaces, // through the old root's /proc
  openHostNull,
  openLabels,
  openVerifyProc,
  mqueueForLandlock,
  startBeside, // from here on the first program's process works beside init
  innerUser, // of later programs: before another root lies on the old one
  rootTree, // mounts, then into the new root
  network,
  hostname,
  domainname,
  verifyMounts,
  releaseProgram, // all is in place
  startLater,
  joinProgramGroup, // while the descriptors of the group are open
  newSession,
  adoptOrphans,
  openTerminal,
  openOwnNull, // before a limit of descriptors holds
  programUser, // the program's own user namespace, while it still may
  keyring,
  rlimits,
  limits,
  umask,
  nice, // while it still has the right to
  ioPriority,
  scheduler,
  affinity,
  personality,
  capabilities,
  descriptors, // low numbers are the program's from here on
  cwd, // as the program, without its former rights
  apparmorProfile,
  selinuxLabel,
  coreScheduling,
  speculation,
  memoryDenyWriteExecute,
  tscDeny,
  noNewPrivileges,
  landlock, // after every mount: it forbids them
  seccomp,
  exec,
  ownMounts,
];
