import { OptionError } from '../base/errors';
import type { Spec } from './spec';

/**
 * System calls that can create a set-id file. The default profile checks their mode arguments, and denies the calls
 * whose mode it cannot see.
 */
const setIdCalls: readonly string[] = [
  'chmod',
  'fchmod',
  'fchmodat',
  'fchmodat2',
  'open',
  'openat',
  'openat2',
  'creat',
  'mknod',
  'mknodat',
  'io_uring_setup',
  'io_uring_enter',
  'io_uring_register',
];

/** Returns the option that lets the program write files of the host; undefined if none does. */
export function hostWrites({ root, mounts, namespaces, landlock }: WritesSpec): string | undefined {
  for (const [index, mount] of mounts.entries()) {
    if (mount.type === 'bind' && !mount.readonly) return `mounts[${index}].readonly`;
    if (mount.type === 'overlay' && mount.upper !== 'memory') return `mounts[${index}].upper`;
    if (mount.type === 'tree') return `mounts[${index}].tree`;
  }
  if (typeof root === 'object' && root.upper !== 'memory') return 'root.upper';
  // Without a mount namespace of its own, Landlock alone determines the host's files that the program can write.
  return !namespaces.mnt && landlock.level !== 'off' ? 'landlock' : undefined;
}

type WritesSpec = Pick<Spec, 'root' | 'mounts' | 'namespaces' | 'landlock'>;

/**
 * Refuses options with which a program could leave a file with set-id bits or file capabilities on the host. Such a
 * file gives access to its owner's privileges there. The seccomp filter denies these modes; this function refuses the
 * options that would let a program get around the filter. Throws an OptionError.
 */
export function refuseSetIdHole(spec: WritesSpec & Pick<Spec, 'seccomp' | 'nestedUserNamespaces' | 'capabilities'>): void {
  const at = hostWrites(spec);
  if (at === undefined) return;
  const holes = setIdHoles(spec);
  if (holes.length > 0)
    throw new OptionError(
      at,
      `a writable directory of the host is not safe ${holes.map(([what]) => what).join(' and ')}: set-id files or files with capabilities could be left in it. ` +
        `Use ${holes.map(([, fix]) => fix).join(', ')}; or keep the writes in memory by mounting an overlay of that directory`,
    );
}

// Returns all holes together, each with its replacement, because a preset may have set several.
function setIdHoles({
  seccomp: chosen,
  nestedUserNamespaces,
  capabilities,
}: Pick<Spec, 'seccomp' | 'nestedUserNamespaces' | 'capabilities'>): readonly (readonly [what: string, fix: string])[] {
  const allowed = chosen === 'off' ? undefined : chosen.allow.flatMap(({ names }) => names).find((name) => setIdCalls.includes(name));
  const hasSetFcap = Object.values(capabilities).some((set) => set.includes('CAP_SETFCAP'));
  return [
    ...(chosen === 'off' ? [["with seccomp: 'off'", "seccomp: 'default'"] as const] : []),
    ...(allowed === undefined
      ? []
      : [[`while seccomp.allow contains ${allowed}`, "seccomp: 'default', or an allow list without it"] as const]),
    ...(nestedUserNamespaces ? [['with nestedUserNamespaces', 'nestedUserNamespaces: false'] as const] : []),
    ...(hasSetFcap ? [['with CAP_SETFCAP', 'capabilities without CAP_SETFCAP'] as const] : []),
  ];
}
