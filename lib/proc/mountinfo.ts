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
  const separator = ' - ';
  return text.split('\n').flatMap((line) => {
    const own = line.split(separator, 1).join('');
    const system = line.slice(own.length + separator.length).split(' ');
    const [id, parent, device, root, target, flags] = own.split(' ');
    if (device === undefined || root === undefined || target === undefined || flags === undefined) return [];
    const [type, options] = [system.slice(0, 1).join(), system.slice(2, 3).join().split(',')];
    const paths = { root: unescaped(root), target: unescaped(target) };
    return [{ id: Number(id), parent: Number(parent), device, ...paths, flags: flags.split(','), type, options }];
  });
}

/** Returns the directories above a path, from the root directory on. */
function directoriesAbove(path: string): readonly string[] {
  const names = path.split('/').slice(1, -1);
  return path === '/' ? [] : ['/', ...names.map((_, index) => `/${names.slice(0, index + 1).join('/')}`)];
}

/**
 * Returns the mounts that no other mount hides. A mount is hidden if something is mounted on its root directory, or if
 * on the way to it something was mounted over it later: a mount that lies on the same parent, at a directory above it.
 */
export function visibleMounts(mounts: readonly MountLine[]): readonly MountLine[] {
  const byId = new Map(mounts.map((mount) => [mount.id, mount]));
  const targetsOn = new Map<number, Set<string>>();
  for (const { id, parent, target } of mounts) if (id !== parent) targetsOn.set(parent, (targetsOn.get(parent) ?? new Set()).add(target));
  const isCovered = ({ parent, target }: MountLine) =>
    byId.has(parent) && directoriesAbove(target).some((directory) => targetsOn.get(parent)?.has(directory));
  const isHidden = (mount: MountLine): boolean => {
    const seen = new Set<MountLine>();
    for (let one: MountLine | undefined = mount; one && !seen.has(one); one = byId.get(one.parent)) {
      if (isCovered(one)) return true;
      seen.add(one);
    }
    return targetsOn.get(mount.id)?.has(mount.target) === true;
  };
  return mounts.filter((mount) => !isHidden(mount));
}
