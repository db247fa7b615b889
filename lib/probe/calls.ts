import { closeSync, openSync } from 'node:fs';
import { errnos } from '../base/errnos';
import { native } from '../native/addon';
import { type Arch, archTables } from '../seccomp/tables';
import { pidfdOpen } from '../sys/process';

/** The result of {@link probe} for one primitive of `nsjs/sys`. */
export interface ProbedCall {
  readonly available: boolean;
  /** First Linux version that has it. */
  readonly since: string;
}

const none = -1;

// Each call gets arguments that no kernel accepts, so that it has no effect but its error.
const systemCalls: Readonly<Record<string, string>> = {
  clone3: '5.3',
  pidfd_open: '5.3',
  pidfd_send_signal: '5.1',
  pidfd_getfd: '5.6',
  openat2: '5.6',
  close_range: '5.9',
  memfd_create: '3.17',
  name_to_handle_at: '2.6.39',
  fsopen: '5.2',
  fsconfig: '5.2',
  fsmount: '5.2',
  fspick: '5.2',
  open_tree: '5.2',
  open_tree_attr: '6.15',
  move_mount: '5.2',
  mount_setattr: '5.12',
  statmount: '6.8',
  listmount: '6.8',
  seccomp: '3.17',
  landlock_create_ruleset: '5.13',
};

const namespaceIoctls: Readonly<Record<string, readonly [request: number, since: string]>> = {
  NS_GET_USERNS: [0xb701, '4.9'],
  NS_GET_NSTYPE: [0xb703, '4.11'],
  NS_GET_MNTNS_ID: [0x8008b705, '6.11'],
  NS_MNT_GET_INFO: [0x8010b70a, '6.12'],
  NS_GET_ID: [0x8008b70d, '6.18'],
};
const pidfdIoctls: Readonly<Record<string, readonly [request: number, since: string]>> = {
  PIDFD_GET_NAMESPACE: [0xff03, '6.11'],
  PIDFD_GET_INFO: [0xc040ff0b, '6.13'],
};

const givesDescriptor: readonly string[] = ['NS_GET_USERNS', 'PIDFD_GET_NAMESPACE'];

/** Finds out which primitives this kernel has; one that a seccomp filter hides is reported as not available. */
export function probeCalls(): Readonly<Record<string, ProbedCall>> {
  const { numbers } = archTables[process.arch as Arch];
  const calls = Object.entries(systemCalls).map(([name, since]) => {
    const number = numbers[name];
    const available = number !== undefined && native().syscall(number, none, none, none, none, none, none) !== -errnos.ENOSYS;
    return [name, { available, since }] as const;
  });
  return Object.fromEntries([
    ...calls,
    ...probeIoctls(openSync('/proc/self/ns/mnt', 'r'), namespaceIoctls),
    ...probeIoctls(openSelf(), pidfdIoctls),
  ]);
}

function openSelf(): number {
  try {
    return pidfdOpen(process.pid);
  } catch {
    return none;
  }
}

function probeIoctls(fd: number, requests: typeof namespaceIoctls): readonly (readonly [string, ProbedCall])[] {
  const { ioctl = none } = archTables[process.arch as Arch].numbers;
  const found = Object.entries(requests).map(([name, [request, since]]) => {
    const answer = Buffer.alloc(64);
    answer.writeUInt32LE(1, 0);
    const result = native().syscall(ioctl, fd, request, givesDescriptor.includes(name) ? null : answer);
    if (result >= 0 && givesDescriptor.includes(name)) closeSync(result);
    return [name, { available: result >= 0, since }] as const;
  });
  if (fd >= 0) closeSync(fd);
  return found;
}
