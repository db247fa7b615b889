import type { SandboxOptions } from '../features';
import type { Attempt } from '../features/feature';
import { callNumber } from '../features/hardening';
import { isHidden } from '../features/root/proc';
import type { Spec } from '../features/spec';
import { parseProgramOptions } from '../options/options';
import type { Runtime } from '../runtime/runtime';

/** Result of one attempt to escape. */
export interface SelfTestResult {
  /** The attempt, by the name of the system call or file. */
  readonly attempt: string;
  readonly why: string;
  readonly blocked: boolean;
  /**
   * The error code that the kernel returned: `EPERM`, `ENOENT`, …. Undefined if it did not refuse, or if something
   * else covers the path.
   */
  readonly code?: string;
}

const newUser = 0x10000000;
const newMounts = 0x00020000;
const seize = 0x4206;
const call = (name: string, why: string, ...args: readonly number[]): Attempt => ({
  attempt: name,
  why,
  op: ['Call', callNumber(name), ...[...args, 0, 0, 0, 0, 0].slice(0, 5)],
});
const write = (path: string, why: string): Attempt => ({ attempt: path, why, op: ['WriteFile', 'none', path, ''] });
const make = (path: string, why: string): Attempt => ({ attempt: path, why, op: ['MakeDir', 'none', path, 0o755] });
const socket = (family: number, name: string): Attempt => ({
  ...call('socket', 'sockets of special kernel protocols', family, 3, 0),
  attempt: `socket ${name}`,
});

/** The attempts of a self-test. Each is harmless if it succeeds. An effective sandbox refuses all of them. */
export const attempts: readonly Attempt[] = [
  call('unshare', 'a new user namespace grants every capability inside it', newUser),
  call('clone3', 'a new user namespace, with flags that a seccomp filter cannot read'),
  { ...call('unshare', 'a new mount namespace', newMounts), attempt: 'unshare mnt' },
  call('fsopen', 'mounting new file systems'),
  call('open_tree', 'cloning mounts into file descriptors', -100 >>> 0),
  call('pivot_root', 'changing the root directory'),
  call('chroot', 'changing the root directory'),
  call('setns', 'entering other namespaces', 0),
  call('ptrace', 'control over init', seize, 1),
  call('process_vm_readv', 'memory of init', 1),
  call('pidfd_getfd', 'descriptors of init', 0),
  call('bpf', 'running programs in the kernel'),
  call('perf_event_open', 'performance counters of the kernel'),
  call('userfaultfd', 'handling page faults, which can delay the kernel'),
  call('io_uring_setup', 'system calls that bypass the seccomp filter'),
  call('keyctl', 'kernel keys, which namespaces do not isolate'),
  call('add_key', 'kernel keys, which namespaces do not isolate'),
  call('init_module', 'loading kernel modules'),
  call('kexec_load', 'loading another kernel'),
  call('swapon', 'the machine’s swap space'),
  call('settimeofday', 'the machine’s clock'),
  call('syslog', 'the kernel’s log', 10),
  call('open_by_handle_at', 'opening files by handle, regardless of their path'),
  call('quotactl', 'quotas of the host'),
  socket(16, 'netlink'),
  socket(17, 'packet'),
  socket(38, 'alg'),
  socket(40, 'vsock'),
  write('/proc/sys/kernel/core_pattern', 'starting a program on the host after a crash'),
  write('/proc/sysrq-trigger', 'SysRq commands, for example a reboot of the machine'),
  write('/proc/1/mem', 'memory of init'),
  write('/dev/mem', 'memory of the machine'),
  write('/sys/kernel/uevent_helper', 'starting a program on the host on a device event'),
  make('/usr/nsjs-self-test', 'changing programs of the host'),
  make('/sys/fs/cgroup/nsjs-self-test', 'changing cgroup limits'),
];

/** Makes every attempt in a process that is confined like a program of the sandbox. */
export async function selfTest(sandbox: {
  readonly options: SandboxOptions;
  readonly runtime: Runtime;
}): Promise<readonly SelfTestResult[]> {
  const { runtime, options } = sandbox;
  const parsed = parseProgramOptions({ options, spec: runtime.spec }, 'self-test', [], { stdio: 'ignore', reject: false });
  const dropped = await new Promise<ReadonlyMap<string, string>>((resolve, reject) => {
    const run = runtime.spawn(
      { ...parsed, program: { ...parsed.program, attempts } },
      {
        started: () => {},
        exited: () => {},
        violation: () => {},
        stuck: () => {},
        egress: () => {},
        // No program was started, as intended.
        settled: () => {
          const refused = run.outcome.dropped.map(({ control, reason }) => [control, reason] as const);
          if (runtime.usable) resolve(new Map(refused));
          else reject(new Error('the sandbox was closed'));
        },
      },
    );
  });
  return attempts.map(({ attempt, why }) => {
    // The path leads to the file or directory that masks it, which may be writable.
    if (isMasked(runtime.spec, attempt)) return { attempt, why, blocked: true };
    const code = / failed: (\w+)$/.exec(dropped.get(attempt) ?? '')?.[1];
    return { attempt, why, blocked: code !== undefined && !reached.includes(code), ...(code === undefined ? {} : { code }) };
  });
}

/** Whether a path is covered by /dev/null or by an empty directory. Pure. */
export const isMasked = ({ proc, mounts }: Pick<Spec, 'proc' | 'mounts'>, path: string): boolean =>
  mounts.some(({ type, target }) => type === 'mask' && (path === target || path.startsWith(`${target}/`))) ||
  (proc === 'masked' && /^\/proc\/[^/]+$/.test(path) && isHidden(path.slice('/proc/'.length)));

// Errors that show that the kernel has started to carry out the system call: the attempt was not blocked.
const reached = ['EFAULT', 'EINVAL', 'EBADF', 'EOPNOTSUPP', 'E2BIG', 'EBUSY'];
