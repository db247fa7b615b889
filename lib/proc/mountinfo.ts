/** A line of proc_pid_mountinfo(5). */
export interface MountLine {
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

/** Parses mountinfo, in the order of mounting. Skips malformed lines. Pure. */
export function parseMountLines(text: string): readonly MountLine[] {
  return text.split('\n').flatMap((line) => {
    const [own = '', rest = ''] = line.split(' - ');
    const [, , device, root, target, flags] = own.split(' ');
    const [type = '', , options = ''] = rest.split(' ');
    if (device === undefined || root === undefined || target === undefined || flags === undefined) return [];
    return [{ device, root: unescaped(root), target: unescaped(target), flags: flags.split(','), type, options: options.split(',') }];
  });
}
