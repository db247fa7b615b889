import { existsSync, readFileSync } from 'node:fs';
import { isNsjsError, SysError } from '../base/errors';
import { cgroupLayout } from '../cgroup/layout';
import { host } from '../host/host';
import { pastaMissing } from '../network/setup/pasta';
import { parseMountLines, visibleMounts } from '../proc/mountinfo';
import { spawnIsolated } from '../run/spawn';
import type { SpawnOptions } from '../run/types';
import { type ProbedCall, probeCalls } from './calls';

/** The result of {@link probe} for one feature of the host. */
export interface ProbedFeature {
  readonly available: boolean;
  /** The cause, if the feature is missing. */
  readonly reason?: string;
  /** How to make the feature available. */
  readonly fix?: string;
}

/** The features of this host, as found by {@link probe}. */
export interface Probe {
  /** Whether the default sandbox works. */
  readonly ok: boolean;
  readonly kernel: string;
  readonly privileged: boolean;
  readonly features: Readonly<Record<string, ProbedFeature>>;
  /** Primitives of `nsjs/sys`, by their kernel names. */
  readonly calls: Readonly<Record<string, ProbedCall>>;
}

const here: ProbedFeature = Object.freeze({ available: true });
const missing = (reason: string, fix: string): ProbedFeature => ({ available: false, reason, fix });

// The oldest kernel whose mount calls nsjs needs (mount_setattr with AT_RECURSIVE).
const oldestKernel = [5, 12] as const;

const apparmorProfile = (program: string) => `abi <abi/4.0>,
include <tunables/global>
profile nsjs-node ${program} flags=(unconfined) {
  userns,
}`;

/**
 * Finds out which features this host supports, by using them. Each missing feature comes with its cause and a fix.
 * Never rejects for a missing feature.
 */
export async function probe(): Promise<Probe> {
  const kernel = readText('/proc/sys/kernel/osrelease').trim() || 'unknown';
  const userNamespaces = await probeUserNamespaces();
  const untrusted = await tryOptions({});
  const features: Record<string, ProbedFeature> = {
    kernel: probeKernel(kernel),
    userNamespaces,
    proc: await probeProc(userNamespaces),
    nestedUserNamespaces: probeNestedLimit(),
    cgroup: probeCgroup(),
    ...probeControllers(),
    seccomp: existsSync('/proc/sys/kernel/seccomp/actions_avail')
      ? here
      : missing('the kernel has no seccomp filters', 'use a kernel with CONFIG_SECCOMP_FILTER'),
    landlock: probeLandlock(),
    memfdExec: probeMemfd(),
    egress: await probeEgress(untrusted),
    pasta: probePasta(),
    sandbox: untrusted ? fromError(untrusted) : here,
  };
  return { ok: untrusted === undefined, kernel, privileged: host().privileged, features, calls: probeCalls() };
}

async function tryOptions(options: SpawnOptions): Promise<Error | undefined> {
  try {
    await spawnIsolated(process.execPath, ['--version'], options);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

function fromError(error: Error): ProbedFeature {
  const hint = isNsjsError(error) && 'hint' in error ? error.hint : undefined;
  return missing(error.message, hint ?? 'see the other features');
}

function probeKernel(release: string): ProbedFeature {
  const [major = 0, minor = 0] = release.split('.').map(Number);
  const old = major < oldestKernel[0] || (major === oldestKernel[0] && minor < oldestKernel[1]);
  return old ? missing(`Linux ${release} lacks mount_setattr(2)`, `Linux ${oldestKernel.join('.')} or later`) : here;
}

async function probeUserNamespaces(): Promise<ProbedFeature> {
  const error = await tryOptions({ root: 'host', cgroup: 'off', proc: 'off' });
  return error ? userNamespaceCause(error) : here;
}

/** Finds the cause of a refused user namespace in the settings of the host. */
function userNamespaceCause(error: Error): ProbedFeature {
  const maximum = readText('/proc/sys/user/max_user_namespaces').trim();
  if (maximum === '0') return missing('user.max_user_namespaces is 0', 'sysctl -w user.max_user_namespaces=15000');
  if (readText('/proc/sys/kernel/unprivileged_userns_clone').trim() === '0') {
    return missing('kernel.unprivileged_userns_clone is 0', 'sysctl -w kernel.unprivileged_userns_clone=1');
  }
  if (readText('/proc/sys/kernel/apparmor_restrict_unprivileged_userns').trim() === '1' && !host().privileged) {
    const profile = apparmorProfile(process.execPath);
    return missing(
      'AppArmor restricts unprivileged user namespaces',
      `write this to /etc/apparmor.d/nsjs-node and run apparmor_parser -r /etc/apparmor.d/nsjs-node:\n${profile}`,
    );
  }
  const refused = error instanceof SysError && ['EPERM', 'ENOSYS'].includes(error.code) && /clone|unshare/.test(error.syscall);
  if (refused && isInChroot()) {
    return missing(
      'this process is in a chroot(2), where the kernel refuses to create user namespaces',
      'enter the directory by pivot_root(2) in a mount namespace of its own, as container runtimes do, or run outside of it',
    );
  }
  if (refused && seccompMode() === '2') {
    return missing(
      'a seccomp filter around this process refuses clone(CLONE_NEWUSER), as the default profile of Docker and Kubernetes does',
      'run the container with --security-opt seccomp=unconfined or a profile that allows clone, unshare and mount',
    );
  }
  return fromError(error);
}

// In a chroot the root directory is not a mount that the process sees.
const isInChroot = (): boolean => readText('/proc/self/mountinfo') !== '' && mountOptions('/') === undefined;

async function probeProc(userNamespaces: ProbedFeature): Promise<ProbedFeature> {
  if (!userNamespaces.available) return missing('it cannot be tested without user namespaces', 'see userNamespaces');
  const error = await tryOptions({ cgroup: 'off' });
  if (!error) return here;
  if (!(error instanceof SysError) || error.origin !== 'proc') return fromError(error);
  return missing(
    "the kernel refuses a new /proc because the host's own is covered by other mounts, as in most containers",
    "proc: 'prefer' runs without one; Docker: --security-opt systempaths=unconfined",
  );
}

function probeNestedLimit(): ProbedFeature {
  const options = mountOptions('/proc/sys') ?? mountOptions('/proc') ?? [];
  if (!options.includes('ro')) return here;
  return missing(
    '/proc/sys is read-only: nested user namespaces are refused by seccomp alone',
    'Docker: --security-opt systempaths=unconfined',
  );
}

function probeCgroup(): ProbedFeature {
  const layout = cgroupLayout();
  return layout.version === undefined ? missing(`${layout.reason}; limits apply per process only`, layout.fix) : here;
}

// `cgroup` itself covers the two controllers that every limit needs.
const moreControllers = ['cpu', 'cpuset', 'io', 'hugetlb'] as const;

function probeControllers(): Readonly<Record<string, ProbedFeature>> {
  const layout = cgroupLayout();
  if (layout.version === undefined) return {};
  const fix =
    layout.version === 2
      ? 'enable it in the parent cgroup: write its name, with + before it, to cgroup.subtree_control there'
      : 'use a kernel with this controller, and mount its hierarchy below /sys/fs/cgroup';
  const probed = (name: (typeof moreControllers)[number]) =>
    layout.parents[name] === undefined ? missing(`no cgroup with the controller ${name} can be made here`, fix) : here;
  return Object.fromEntries(moreControllers.map((name) => [`cgroup.${name}`, probed(name)]));
}

function probeLandlock(): ProbedFeature {
  const { landlockAbi: abi } = host();
  return abi > 0
    ? here
    : missing('the kernel has no Landlock, or it is not active', 'use Linux 5.13 or later and boot with lsm=landlock,…');
}

async function probeEgress(untrusted: Error | undefined): Promise<ProbedFeature> {
  if (untrusted) return missing('it cannot be tested because the default sandbox does not work', 'see sandbox');
  const error = await tryOptions({ network: { egress: { via: 'nftables' } } });
  return error
    ? missing(`${error.message}; egress works for the ports that its rules name only`, 'load nf_tables, nft_tproxy and nft_redir')
    : here;
}

function probePasta(): ProbedFeature {
  const found = pastaMissing();
  return found ? missing(found.reason, found.fix) : here;
}

function probeMemfd(): ProbedFeature {
  if (readText('/proc/sys/vm/memfd_noexec').trim() !== '2') return here;
  return missing(
    'vm.memfd_noexec is 2: the launcher cannot be executed from memory',
    'run nsjs launcher > /usr/local/lib/nsjs-launcher, make the file executable (chmod 755), and set launcherPath to it',
  );
}

function seccompMode(): string | undefined {
  return /^Seccomp:\s*(\d)/m.exec(readText('/proc/self/status'))?.[1];
}

function mountOptions(target: string): readonly string[] | undefined {
  return visibleMounts(parseMountLines(readText('/proc/self/mountinfo'))).find((mount) => mount.target === target)?.flags;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
