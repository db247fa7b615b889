import { bare } from '../../base/parse';
import { noSlot, type Slot } from '../../plan/operation';
import type { PlanWriter } from '../../plan/writer';
import type { Context } from '../feature';
import type { Spec } from '../spec';
import { atRecursive, cloneTree, mountAttr } from './mount-ops';
import { directoriesBetween } from './pins';

/** Origin of the operations that hide parts of /usr. They are the same for every sandbox. */
export const hiddenOrigin = 'root.hidden';

/** How something is mounted. */
interface Manner {
  /** The mount is an empty file system in which files can be created. */
  readonly fresh?: boolean;
  /** Programs may write to it. */
  readonly writable?: boolean;
  /** The mount protects its target: no directory on the way there may be renamed. */
  readonly fixed?: boolean;
}

/** Context of the operations of a mount. `origin` is the option that requests the mount. */
export interface MountBuild {
  readonly plan: PlanWriter;
  readonly tree: RootTree;
  readonly origin: string;
  readonly spec: Spec;
  readonly context: Context;
}

/**
 * The tree that init builds, as far as the plan knows it: the directories created so far, and the paths below which
 * something else is mounted, where nothing can be created.
 */
export class RootTree {
  private readonly made = new Set<string>(['/']);
  private readonly mounted: { readonly prefix: string; readonly fresh: boolean; readonly writable: boolean }[] = [];
  private readonly pinned = new Set<string>();

  constructor(
    private readonly plan: PlanWriter,
    private readonly base: Slot,
    /** The root itself is a new file system in which missing files can be created. */
    readonly writable: boolean,
    /** The root also starts empty and is read-only in the end. */
    private readonly sealed = writable,
    /** Programs may change files in the root, as far as their ids allow. */
    private readonly isWritten = false,
  ) {}

  /** Attaches a mount. Its target is created if possible. */
  mount(tree: Slot, target: string, kind: 'dir' | 'file', origin: string, manner: Manner = {}): void {
    const { fresh = false, writable = false, fixed = false } = bare(manner);
    if (this.canMake(target)) {
      if (kind === 'dir') this.dir(target, 0o755, origin);
      else this.emptyFile(target, origin);
    }
    if (fixed) this.pin(target, origin);
    this.plan.op('inside', origin, 'MoveMount', tree, this.base, target);
    this.cover(`${target}/`, fresh, writable);
  }

  /** Creates the mount point of a later mount, before the directory becomes read-only. */
  place(target: string, kind: 'dir' | 'file'): void {
    if (kind === 'dir') this.dir(target, 0o755, hiddenOrigin);
    else this.emptyFile(target, hiddenOrigin);
  }

  /** Hides `path`: a directory by an empty read-only one, anything else by /dev/null. */
  mask(path: string, origin: string): void {
    this.pin(path, origin);
    this.plan.op('inside', origin, 'Mask', this.base, path);
  }

  /** Makes `path` and everything below it read-only, by mounting a copy over it. */
  readonly(path: string, origin: string): void {
    this.pin(path, origin);
    const copy = this.plan.slot(origin);
    this.plan.op('inside', origin, 'OpenTree', copy, this.base, path, cloneTree);
    this.plan.op('inside', origin, 'SetAttr', copy, mountAttr.readonly, 0, atRecursive, 0, noSlot);
    this.plan.op('inside', origin, 'MoveMount', copy, this.base, path);
    this.cover(`${path}/`, false, false);
  }

  // A mount hides earlier mounts and pins below it, so they are forgotten.
  private cover(prefix: string, fresh: boolean, writable: boolean): void {
    for (const path of this.pinned) if (path.startsWith(prefix)) this.pinned.delete(path);
    for (let index = this.mounted.length - 1; index >= 0; index--)
      if (this.mounted[index]?.prefix.startsWith(prefix)) this.mounted.splice(index, 1);
    this.mounted.push({ prefix, fresh, writable });
  }

  /**
   * Keeps everything on the way from the writable directory `from` to the path `below` it in place, including that path
   * itself.
   */
  pinAll(from: string, below: string, origin: string): void {
    const end = `${from}${below}`;
    this.plan.optional('inside', () => {
      for (const path of [...directoriesBetween(from, end), end]) this.plan.op('inside', origin, 'Pin', this.base, path);
    });
  }

  // A program that may write to a directory can rename its entries and replace them.
  private pin(path: string, origin: string): void {
    const cover = this.above(path.slice(0, path.lastIndexOf('/')));
    const from = cover?.prefix.slice(0, -1) ?? '';
    if (cover ? cover.writable : this.isWritten) for (const directory of directoriesBetween(from, path)) this.pinOne(directory, origin);
    if (from !== '') this.pin(from, origin);
  }

  private pinOne(path: string, origin: string): void {
    if (this.pinned.has(path) || this.mounted.some(({ prefix }) => prefix === `${path}/`)) return;
    this.plan.op('inside', origin, 'Pin', this.base, path);
    this.pinned.add(path);
  }

  dir(path: string, mode: number, origin: string): void {
    if (this.made.has(path)) return;
    this.parents(path, origin);
    this.plan.op('inside', origin, 'MakeDir', this.base, path, mode);
    this.made.add(path);
  }

  file(path: string, data: Uint8Array, mode: number, origin: string): void {
    this.parents(path, origin);
    this.plan.op('inside', origin, 'MakeFile', this.base, path, data, mode);
    this.made.add(path);
  }

  /**
   * Creates a file on an empty file system unless it exists. It is read-only even for programs that may write to the
   * file system. Returns whether the file was created.
   */
  fixedFile(path: string, data: Uint8Array, mode: number, origin: string): boolean {
    if (!this.canMake(path) || this.made.has(path)) return false;
    this.file(path, data, mode, origin);
    this.readonly(path, origin);
    return true;
  }

  symlink(path: string, to: string, origin: string): void {
    this.parents(path, origin);
    this.plan.op('inside', origin, 'Symlink', this.base, path, to);
  }

  /**
   * Returns whether missing files at `path` can be created: on the new root, or on an empty file system mounted since.
   */
  canMake(path: string): boolean {
    return this.above(path)?.fresh ?? this.writable;
  }

  /** Returns whether `path` lies on the new root itself, which is read-only in the end. */
  isSealed(path: string): boolean {
    return this.sealed && this.above(path) === undefined;
  }

  // The mount that covers the path: the last one on it or above it.
  private above(path: string) {
    const directory = `${path}/`;
    for (let index = this.mounted.length - 1; index >= 0; index--) {
      const mount = this.mounted[index];
      if (mount && directory.startsWith(mount.prefix)) return mount;
    }
    return undefined;
  }

  private emptyFile(path: string, origin: string): void {
    if (!this.made.has(path)) this.file(path, new Uint8Array(), 0o644, origin);
  }

  private parents(path: string, origin: string): void {
    const parent = path.slice(0, path.lastIndexOf('/'));
    if (parent !== '' && this.canMake(parent)) this.dir(parent, 0o755, origin);
  }
}
