import { bare } from '../base/parse';
import type { GroupFolders } from '../cgroup/layout';
import type { LimitsSpec } from '../cgroup/limits';
import type { Host } from '../host/host';
import type { UsrMask } from '../host/usr-masks';
import type { OpName } from '../plan/ops';
import type { PlanWriter, RootRecipe } from '../plan/writer';
import type { Spec } from './spec';

/** A control that was preferred and could not be applied. */
export interface Dropped {
  /** The option: `cgroup`. */
  readonly control: string;
  readonly reason: string;
  /** What to do to have it. */
  readonly fix: string;
}

/** What the features know beside the spec when they write the plan of one sandbox. */
export interface Scene {
  readonly host: Host;
  /** Host uid and gid of the sandbox, where nsjs runs as root. */
  readonly hostId?: number;
  /** How many of them, from there on. Default 1. */
  readonly hostIds?: number;
  /** The user namespace that owns the namespaces to be shared, where the caller has no rights over them by itself. */
  readonly ownerFd?: number;
  /** The network namespace that was made for it beforehand. */
  readonly network?: SceneNetwork;
  /** An empty one with its loopback up, in place of one that is made for it. */
  readonly spareNet?: number;
  /** Descriptor whose lock keeps `hostId` for this sandbox; the keeper holds it. */
  readonly lockFd?: number;
  /** Directories of this sandbox's cgroups. */
  readonly cgroups: Cgroups;
  /** Limits of this program alone, in a sandbox that has others, and its group, where it has one. */
  readonly ownLimits?: LimitsSpec;
  readonly group?: ProgramGroup;
  /** The group that can be frozen, of a long-lived sandbox; `own` where it is not the one of the limits. */
  readonly freezer?: { readonly version: 1 | 2; readonly folder: string; readonly own: boolean };
  /** What is known to be dropped before anything starts. */
  readonly dropped: readonly Dropped[];
  readonly program: Program;
  /** A program with its own sandbox, a sandbox for programs that come later, or one of these. */
  readonly kind: 'run' | 'sandbox' | 'program';
  /** There is a mount namespace with nothing of the host in it to start from. */
  readonly emptyMounts?: boolean;
  /** A mount namespace in which such a root has been made, if there is one. */
  readonly sharedRoot?: (recipe: RootRecipe) => number | undefined;
  /** The sandbox is there for one program that comes later, and ends with it. */
  readonly single?: true;
  /** Orphans of the program become its own children, so that all that it has started can be found. */
  readonly adopts?: boolean;
  /** What is below /usr and no part of the system. */
  readonly hidden?: readonly UsrMask[];
  /** Paths of the host that sandboxes of this process protect below directories they may write to. */
  readonly pinned?: readonly string[];
}

/** A network namespace that was set up for a sandbox, as far as its plan needs it. */
export interface SceneNetwork {
  readonly netFd: number;
  /** Name servers for its programs. */
  readonly resolvers: readonly string[];
  /** How connections to outside are intercepted, with egress. */
  readonly via: 'nftables' | 'ports' | undefined;
}

/** Which system calls are handed to this process. */
export interface Notify {
  /** Those with a handler. */
  readonly names: readonly string[];
  /** Those that the filter refuses. */
  readonly violations: boolean;
  /** Those that it allows. */
  readonly learn: boolean;
}

/** One try to get out, as an operation; `'none'` stands for no slot. */
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
  /** By descriptor number of the program: what is passed (a descriptor or a stdioKind), 'ignore' for /dev/null, or 'pty' for its own terminal. */
  readonly stdio: readonly (number | 'ignore' | 'pty')[];
  readonly notify?: Notify;
  /** In place of a program: operations that are expected to fail. */
  readonly attempts?: readonly Attempt[];
  /** Size of its terminal in characters, where it has one. */
  readonly pty?: { readonly columns: number; readonly rows: number };
}

/** The cgroups of one sandbox: by version, the directory for each controller. */
export interface Cgroups {
  readonly version: 1 | 2 | undefined;
  /** By controller; one directory for all with version 2. */
  readonly folders: GroupFolders;
  /** Version 1 counts memory and swap together. */
  readonly swapAccounting: boolean;
  /** What they are to hold it to: with disks and CPUs of this machine. */
  readonly limits: LimitsSpec;
  /** The sub-group that init lives in, so that others can be made beside it (version 2). */
  readonly leaf?: string;
  /** The file whose first number is the CPU time of all its processes, and what of that number makes a ms. */
  readonly cpuUsage?: { readonly file: string; readonly perMs: number };
}

/** The cgroup of one program in a sandbox that has limits of its own: made, and open. */
export interface ProgramGroup {
  /** Writing `0` to each of them enters the group. */
  readonly entries: readonly number[];
  readonly usageFd?: number;
  readonly perMs: number;
  /** cgroup.kill, Linux 5.14. */
  readonly killFd?: number;
  /** The quota of `limits.cpu`. */
  readonly quotaFd?: number;
}

/** Operations that several options share, or none asks for. */
export interface Step {
  /** Whether they belong to the sandbox, to each program in it, or look at `scene.kind` themselves. Default: the sandbox. */
  readonly scope?: 'sandbox' | 'program' | 'both';
  /** Pure: writes operations, touches nothing. */
  emit(plan: PlanWriter, spec: Spec, scene: Scene): void;
}

/** One feature of a sandbox: a key of the options, what its value means, and the operations it becomes. */
export interface Feature<Key extends string, Value> extends Step {
  readonly key: Key;
  /** `undefined` yields the default. Throws an OptionError or OptionRangeError; the result is frozen afterwards. */
  parse(value: unknown, at: string): Value;
}

export function feature<const Key extends string, Value>(
  definition: Omit<Feature<Key, Value>, 'emit'> & Partial<Step>,
): Feature<Key, Value> {
  return Object.freeze(bare({ emit: () => {}, ...definition }));
}
