/** A line of proc_pid_mountinfo(5). */
export interface MountLine {
  readonly id: number;
  /** Id of the mount that it is mounted on. */
  readonly parent: number;
  /** `major:minor` of its file system. */
  readonly device: string;
  /** Path within the file system that is mounted at `target`. */
  readonly root: string;
  readonly target: string;
  readonly flags: readonly string[];
  readonly type: string;
  /** Options of the file system. */
  readonly options: readonly string[];
}

const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** Parses mountinfo. Since Linux 6.8 the lines are not in the order of mounting. Skips malformed lines. Pure. */
export function parseMountLines(text: string): readonly MountLine[] {
  return text.split('\n').flatMap((line) => {
    const [own = '', rest = ''] = line.split(' - ');
    const [id, parent, device, root, target, flags] = own.split(' ');
    const [type = '', , options = ''] = rest.split(' ');
    if (device === undefined || root === undefined || target === undefined || flags === undefined) return [];
    return [
      {
        ...{ id: Number(id), parent: Number(parent), device, root: unescaped(root), target: unescaped(target) },
        ...{ flags: flags.split(','), type, options: options.split(',') },
      },
    ];
  });
}

const isAt = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(directory === '/' ? directory : `${directory}/`);

/**
 * Returns the mounts that no other mount hides. A mount is hidden if something is mounted on its root directory, or if
 * on the way to it something was mounted over it later: a mount that lies on the same parent, at a directory above it.
 */
export function visibleMounts(mounts: readonly MountLine[]): readonly MountLine[] {
  const byId = new Map(mounts.map((mount) => [mount.id, mount]));
  const children = new Map<number, MountLine[]>();
  for (const mount of mounts) children.set(mount.parent, [...(children.get(mount.parent) ?? []), mount]);
  const isCovered = (mount: MountLine) =>
    (children.get(mount.parent) ?? []).some((other) => other !== mount && byId.has(mount.parent) && isAt(mount.target, other.target));
  const isHidden = (mount: MountLine): boolean => {
    for (let one: MountLine | undefined = mount; one; one = one.parent === one.id ? undefined : byId.get(one.parent))
      if (isCovered(one)) return true;
    return (children.get(mount.id) ?? []).some(({ id, target }) => id !== mount.id && target === mount.target);
  };
  return mounts.filter((mount) => !isHidden(mount));
}
