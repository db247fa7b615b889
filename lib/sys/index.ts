/**
 * Typed system calls, named as their man pages, for building custom runtimes. Descriptors are plain numbers here. A
 * call that the kernel lacks throws a SysError with code ENOSYS (ENOTTY for an ioctl). `probe()` reports which features
 * the host has.
 */
export * from './constants';
export { type CapabilitySets, capget, capset } from './cred';
export {
  close,
  closeRange,
  dup,
  FD_NSFS_ROOT,
  FD_PIDFS_ROOT,
  type FileHandle,
  memfdCreate,
  nameToHandleAt,
  type OpenHow,
  openat2,
  openat2Async,
  openByHandleAt,
  openByHandleAtAsync,
} from './file';
export { type LandlockRuleset, landlockAbi, landlockAddRule, landlockCreateRuleset, landlockRestrictSelf } from './landlock';
export { getrlimit, prctl, prlimit, type ResourceLimit } from './limits';
export {
  fsconfig,
  fsconfigAsync,
  fsmount,
  fsopen,
  fspick,
  LSMT_ROOT,
  listmount,
  type MountAttr,
  mount,
  mountAsync,
  mountSetattr,
  moveMount,
  openTree,
  openTreeAsync,
  openTreeAttr,
  pivotRoot,
  type StatMount,
  statmount,
  umount2,
  umount2Async,
} from './mount';
export {
  nsId,
  nsMntnsId,
  nsMountCount,
  nsOwnerUid,
  nsParent,
  nsType,
  nsUserns,
  pidFromPidns,
  pidInPidns,
  setdomainname,
  sethostname,
  setns,
  unshare,
} from './namespace';
export {
  type CloneArgs,
  type Cloned,
  clone3,
  type PidfdInfo,
  pidfdGetfd,
  pidfdInfo,
  pidfdNamespace,
  pidfdOpen,
  pidfdSendSignal,
  type WaitStatus,
  waitid,
  waitidAsync,
} from './process';
export { seccompActionAvail, seccompSetModeFilter } from './seccomp';
export { type SocketNamespaces, type SocketRequest, socketIn } from './socket';
