import { OptionError } from '../base/errors';
import type { Spec } from './spec';

/** Calls that can make a set-id file; the profile looks at their modes, and refuses those whose modes it cannot see. */
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

/** The option by which what the program writes is a file of the host; undefined if none does. */
export function hostWrites({ root, mounts, namespaces, landlock }: WritesSpec): string | undefined {
  for (const [index, mount] of mounts.entries()) {
    if (mount.type === 'bind' && !mount.readonly) return `mounts[${index}].readonly`;
    if (mount.type === 'overlay' && mount.upper !== 'memory') return `mounts[${index}].upper`;
    if (mount.type === 'tree') return `mounts[${index}].tree`;
  }
  if (typeof root === 'object' && root.upper !== 'memory') return 'root.upper';
  // Without mounts of its own, Landlock says what of the host's files it writes.
  return !namespaces.mnt && landlock.level !== 'off' ? 'landlock' : undefined;
}

type WritesSpec = Pick<Spec, 'root' | 'mounts' | 'namespaces' | 'landlock'>;

/**
 * A file with set-id bits or capabilities that is left on the host is a way to its owner's rights there. The filter refuses the
 * modes; what would let a program past it is refused here. Throws an OptionError.
 */
export function refuseSetIdHole(spec: WritesSpec & Pick<Spec, 'seccomp' | 'nestedUserNamespaces' | 'capabilities'>): void {
  const at = hostWrites(spec);
  if (at === undefined) return;
  const holes = setIdHoles(spec);
  if (holes.length > 0)
    throw new OptionError(
      at,
      `a folder of the host that can be written is not safe ${holes.map(([what]) => what).join(' and ')}: set-id files or file capabilities could stay in it. ` +
        `Write ${holes.map(([, fix]) => fix).join(', ')}; or keep what is written in memory, as an overlay of that folder does`,
    );
}

// All at once, each with what to write instead: a preset may have brought several.
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
      : [[`where seccomp.allow names ${allowed}`, "seccomp: 'default', or an allow list without it"] as const]),
    ...(nestedUserNamespaces ? [['with nestedUserNamespaces', 'nestedUserNamespaces: false'] as const] : []),
    ...(hasSetFcap ? [['with CAP_SETFCAP', 'capabilities without CAP_SETFCAP'] as const] : []),
  ];
}
