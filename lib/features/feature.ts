import { bare } from '../base/parse';
import type { GroupDirectories } from '../cgroup/layout';
import type { LimitsSpec } from '../cgroup/limits';
import type { Host } from '../host/host';
import type { UsrMask } from '../host/usr-masks';
import type { OpName } from '../plan/ops';
import type { PlanWriter, RootRecipe } from '../plan/writer';
import type { Spec } from './spec';

/** A control that was preferred but could not be applied. */
export interface Dropped {
  /** The option, for example `cgroup`. */
  readonly control: string;
  readonly reason: string;
  /** How to make the control available. */
  readonly fix: string;
}

/** The state besides the spec that features use to write the plan of one sandbox. */
export interface Context {
  readonly host: Host;
  /** Host uid and gid of the sandbox, if nsjs runs as root. */
  readonly hostId?: number;
  /** Number of consecutive host ids from `hostId` on. Default 1. */
  readonly hostIds?: number;
  /**
   * Descriptor of the user namespace that owns the namespaces to enter, if the caller has no privileges over them by
   * itself.
   */
  readonly ownerFd?: number;
  /** The network namespace that was set up for the sandbox beforehand. */
  readonly network?: ContextNetwork;
  /**
   * Descriptor of an empty network namespace with its loopback interface up, used instead of creating one for the
   * sandbox.
   */
  readonly spareNet?: number;
  /** Descriptor whose lock reserves `hostId` for this sandbox. The keeper holds it. */
  readonly lockFd?: number;
  /** Directories of this sandbox's cgroups. */
  readonly cgroups: Cgroups;
  /** Limits of this program alone, in a sandbox that has limits of its own; and the program's cgroup, if it has one. */
  readonly ownLimits?: LimitsSpec;
  readonly group?: ProgramGroup;
  /**
   * The cgroup that can be frozen, of a long-lived sandbox or of one with time limits. `own` is true if it is separate
   * from the cgroup of the limits.
   */
  readonly freezer?: { readonly version: 1 | 2; readonly directory: string; readonly own: boolean };
  /** Controls that are known to be dropped before anything starts. */
  readonly dropped: readonly Dropped[];
  readonly program: Program;
  /** A program with its own sandbox, a sandbox for later programs, or one of these programs. */
  readonly kind: 'run' | 'sandbox' | 'program';
  /** Whether a mount namespace without any mounts of the host is available to start from. */
  readonly emptyMounts?: boolean;
  /** Returns a mount namespace in which a root of this recipe has already been created, if there is one. */
  readonly sharedRoot?: (recipe: RootRecipe) => number | undefined;
  /** The sandbox waits for one later program, and ends with it. */
  readonly parked?: true;
  /** Orphaned descendants are reparented to the program, so that everything it has started can be found. */
  readonly adopts?: boolean;
  /** Files and directories below /usr that do not belong to the system. */
  readonly hidden?: readonly UsrMask[];
  /** Paths of the host that sandboxes of this process protect and that lie below directories they may write to. */
  readonly pinned?: readonly string[];
}

/** Properties of the network namespace set up for a sandbox that its plan needs. */
export interface ContextNetwork {
  readonly netFd: number;
  /** Name servers for the sandbox's programs. */
  readonly resolvers: readonly string[];
  /** How connections to the outside are intercepted; undefined without egress. */
  readonly via: 'nftables' | 'ports' | undefined;
}

/** System calls about which the kernel notifies this process. */
export interface Notify {
  /** System calls that have a handler. */
  readonly names: readonly string[];
  /** Whether to notify about calls that the filter denies. */
  readonly violations: boolean;
  /** Whether to notify about calls that the filter allows. */
  readonly learn: boolean;
}

/** One escape attempt, as an operation. `'none'` means no slot. */
export interface Attempt {
  readonly attempt: string;
  readonly why: string;
  readonly op: readonly [OpName, ...(number | string)[]];
}

/** The program of a plan. */
export interface Program {
  /** Paths to try, in the order of PATH. */
  readonly candidates: readonly string[];
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /**
   * By descriptor number in the program: a descriptor or a stdioKind to pass, 'ignore' for /dev/null, or 'pty' for a
   * terminal of its own.
   */
  readonly stdio: readonly (number | 'ignore' | 'pty')[];
  readonly notify?: Notify;
  /** Operations to run in place of a program. They are expected to fail. */
  readonly attempts?: readonly Attempt[];
  /** Size of the program's terminal in characters, if it has one. */
  readonly pty?: { readonly columns: number; readonly rows: number };
}

/** The cgroups of one sandbox. */
export interface Cgroups {
  readonly version: 1 | 2 | undefined;
  /** Directory by controller. With version 2 all controllers share one directory. */
  readonly directories: GroupDirectories;
  /** Whether swap is counted. Version 1 counts memory and swap together. */
  readonly swapAccounting: boolean;
  /** Limits that the cgroups enforce, with disks and CPUs resolved to those of this machine. */
  readonly limits: LimitsSpec;
  /** Name of the sub-cgroup that init is in, so that other cgroups can be created beside it (version 2). */
  readonly leaf?: string;
  /** The file whose first number is the CPU time of all processes, and the number of its units in 1 ms. */
  readonly cpuUsage?: { readonly file: string; readonly perMs: number };
}

/** The cgroup of one program with its own limits in a sandbox. It exists and its files are open. */
export interface ProgramGroup {
  /** Descriptors to which a process writes `0` to enter the cgroup. */
  readonly entries: readonly number[];
  readonly usageFd?: number;
  readonly perMs: number;
  /** Descriptor of cgroup.kill (Linux 5.14). */
  readonly killFd?: number;
  /** Descriptor of the file with the quota of `limits.cpu`. */
  readonly quotaFd?: number;
}

/** Operations that belong to several options, or to none. */
export interface Step {
  /**
   * Whether the operations belong to the sandbox, or to each program in it. With `'both'` the step checks
   * `context.kind` itself. Default: `'sandbox'`.
   */
  readonly scope?: 'sandbox' | 'program' | 'both';
  /** Writes operations to the plan. It is pure: it has no other effect. */
  emit(plan: PlanWriter, spec: Spec, context: Context): void;
}

/** One feature of a sandbox: an option key, the parser of its value, and the operations that it results in. */
export interface Feature<Key extends string, Value> extends Step {
  readonly key: Key;
  /**
   * Parses the value; `undefined` yields the default. The result is frozen afterwards. Throws OptionError or
   * OptionRangeError.
   */
  parse(value: unknown, at: string): Value;
}

export function feature<const Key extends string, Value>(
  definition: Omit<Feature<Key, Value>, 'emit'> & Partial<Step>,
): Feature<Key, Value> {
  return Object.freeze(bare({ emit: () => {}, ...definition }));
}
