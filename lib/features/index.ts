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

/** Options of a sandbox. Every key is one feature. */
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
  /**
   * The preset that the options start from. Options given beside it override it. Default `'untrusted'`. See `presets`.
   */
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
 * The only list of steps. In each section of the plan the operations have this order, which is the order of a safe
 * set-up: steps that need privileges precede those that give them up, and seccomp is the last step before exec.
 */
export const steps: readonly Step[] = [
  cgroup, // host: creates the cgroup and sets its limits; after: reads its final counters and removes it
  freezer,
  clock,
  namespaces, // clone
  joinCgroup, // init's first operation, before it uses any resources
  joinFreezer,
  user, // ids of init
  countShares, // while init has all privileges in its user namespace
  oomScoreAdj, // inherited by all processes that init starts
  deathSignal, // after the ids, because changing them clears the signal
  lateNamespaces, // in the cgroup and before the fork
  timeOffsets,
  nestedUserNamespaces, // through the old root's /proc
  openHostNull,
  openLabels,
  openVerifyProc,
  mqueueForLandlock,
  startBeside, // from here on the first program's process runs concurrently with init
  innerUser, // for later programs; before another root is mounted over the old one
  rootTree, // mounts, then changes to the new root
  network,
  hostname,
  domainname,
  verifyMounts,
  releaseProgram, // the sandbox is set up
  startLater,
  joinProgramGroup, // while the descriptors of the cgroup are open
  newSession,
  adoptOrphans,
  openTerminal,
  openOwnNull, // before a limit on descriptors applies
  programUser, // the program's own user namespace, while the process may still create or enter it
  keyring,
  rlimits,
  limits,
  umask,
  nice, // while the process still has the privilege
  ioPriority,
  scheduler,
  affinity,
  personality,
  capabilities,
  descriptors, // from here on low numbers belong to the program
  cwd, // with the program's privileges, not those of the set-up
  apparmorProfile,
  selinuxLabel,
  coreScheduling,
  speculation,
  memoryDenyWriteExecute,
  tscDeny,
  noNewPrivileges,
  landlock, // after every mount, because it denies mounts
  seccomp,
  exec,
  ownMounts,
];
