export {
  AbortError,
  isNsjsError,
  NsError,
  type NsErrorCode,
  OptionError,
  type OptionIssue,
  OptionRangeError,
  SysError,
} from './base/errors';
export type { Bytes } from './base/parse';
export type { IoTotals, NetworkTotals, Pressure } from './cgroup/files';
export type { IoLimitSpec, LimitsSpec } from './cgroup/limits';
export type { SandboxOptions } from './features';
export { type Capability, type CapabilitySet, capabilityNames, type SecureBit } from './features/capabilities';
export type { CgroupPlace } from './features/cgroup';
export type { EgressContext, EgressDecision, EgressOptions, EgressService } from './features/egress';
export type { EgressEvent, EgressProgram, EgressTotals, RefusalReason } from './features/egress-events';
export type { Dropped } from './features/feature';
export type { Level } from './features/hardening';
export type { IdMapEntry, IdsOption } from './features/id-map';
export type { InterfaceOptions, MacvlanOptions, RouteOptions, VethOptions } from './features/interfaces';
export type { LandlockPolicy } from './features/landlock';
export type { LandlockFsRight, LandlockScope } from './features/landlock-rights';
export type { IoLimit, Limits } from './features/limits';
export { type NamespaceHandle, type NamespaceType, namespaceTypes } from './features/namespaces';
export type { NetworkSetup } from './features/network';
export type { PastaOptions } from './features/pasta';
export type { Rlimit } from './features/rlimits';
export type { Mount } from './features/root/mounts';
export type { OverlayOptions } from './features/root/overlay';
export type { SeccompSource } from './features/seccomp';
export type { CopyOptions } from './fs/budget';
export type { Change, OverlayChanges } from './fs/overlay';
export type { DirectoryEntry, SandboxFs } from './fs/sandbox-fs';
export type { Reason, TimeLimit } from './launcher/outcome';
export type { Measurable } from './metrics/exposition';
export { prometheusHandler, prometheusMetrics } from './metrics/prometheus';
export type { MonitorOptions } from './monitor/monitor';
export type { LimitEvent, MonitorSample, Stats, StatsDelta } from './monitor/stats';
export type { StuckProcess } from './monitor/stuck';
export type { CreateOptions } from './namespace/create';
export type { NamespaceInfo } from './namespace/inspect';
export { type ListedNamespace, listNamespaces, type NamespaceList, type NamespaceNode, namespaceTree } from './namespace/list';
export { Namespace, NamespaceSet } from './namespace/namespace';
export type { NamespaceReference } from './namespace/reference';
export type { NamespaceTarget } from './namespace/target';
export type { CaptureOptions } from './network/inside/capture';
export type { NamespaceSockets, PublishedSocket } from './network/inside/sockets';
export { type Attachment, Network, type NetworkCreateOptions, type PublishOptions } from './network/network';
export { type Image, type RootFs, type UnpackOptions, unpackImage, unpackTar } from './oci/image';
export type { ImageConfig } from './oci/layout';
export type { ProgramOptions, RunOptions } from './options/options';
export { presets } from './options/presets';
export type { StdioEntry, StdioOption } from './options/stdio';
export type { SyscallAnswer, SyscallCall, SyscallHandler, SyscallOptions, Violation } from './options/syscalls';
export type { ProbedCall } from './probe/calls';
export { type Probe, type ProbedFeature, probe } from './probe/probe';
export type { KernelFacts, MountFact } from './report/kernel-facts';
export type { Report } from './report/report';
export { ExitError, type LimitsMet, type Result, type Usage } from './report/result';
export { forkIsolated } from './run/fork';
export { spawnIsolated } from './run/spawn';
export { spawnIsolatedSync } from './run/spawn-sync';
export type { IsolatedChildProcess, IsolatedProcess, ProcessEvents, SpawnOptions } from './run/types';
export { SandboxBuilder } from './sandbox/builder';
export { explain, type Plan } from './sandbox/explain';
export { type PoolOptions, type PoolProgramOptions, SandboxPool } from './sandbox/pool';
export type { SandboxEnd, SandboxEvents } from './sandbox/resources';
export { type OpenOptions, Sandbox } from './sandbox/sandbox';
export { type SeccompDecision, type SeccompFilter, seccompFilter } from './sandbox/seccomp-filter';
export type { SelfTestResult } from './sandbox/self-test';
export { type SystemdScope, type SystemdScopeOptions, systemdScope } from './sandbox/systemd-scope';
export type { SeccompCondition, SeccompRule } from './seccomp/rules';
export { Fd } from './sys/fd';
export type { FileHandle } from './sys/file';
export { MountTree } from './sys/mount-tree';
export { PidFd } from './sys/pidfd';
export type { PidfdInfo, WaitStatus } from './sys/process';
