import { fstatSync } from 'node:fs';
import { parseBoolean, parseHostPath, parseObject } from '../base/parse';
import { AT, MOUNT_ATTR, MS, OPEN_TREE } from './constants';
import { Fd } from './fd';
import { close } from './file';
import { mountSetattr, openTree } from './mount';

/**
 * A detached tree of mounts, held by a descriptor. It can be attached once, to a new sandbox
 * (`{type: 'tree', tree, target}` among `mounts`) or to a running one ({@link Sandbox.mount}), and belongs to that
 * sandbox from then on. Close it when it is no longer needed.
 */
export class MountTree extends Fd {
  /** Takes ownership of a descriptor that open_tree(2) or fsmount(2) returned. */
  constructor(fd: number) {
    super(fd, 'a tree of mounts');
  }

  /**
   * Copies the mount at a path of this process, and all mounts below it unless `recursive: false`, open_tree(2) and
   * mount_setattr(2), Linux 5.12. The copy is nosuid and nodev, and read-only unless `readonly: false`. Throws
   * SysError: EPERM without CAP_SYS_ADMIN over the mount namespace, ENOENT.
   */
  static copy(source: string | URL, options: { readonly readonly?: boolean; readonly recursive?: boolean } = {}): MountTree {
    const path = parseHostPath(source, 'source');
    const { readonly = true, recursive = true } = parseObject(options, 'options', ['readonly', 'recursive']);
    const all = parseBoolean(recursive, 'options.recursive') ? AT.RECURSIVE : 0;
    const fd = openTree(-100, path, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | all);
    try {
      const set = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | (parseBoolean(readonly, 'options.readonly') ? MOUNT_ATTR.RDONLY : 0);
      mountSetattr(fd, '', AT.EMPTY_PATH | all, { set, propagation: MS.PRIVATE });
      return new MountTree(fd);
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** Whether the root of the tree is a directory or a file. */
  get kind(): 'dir' | 'file' {
    return fstatSync(this.fd).isDirectory() ? 'dir' : 'file';
  }
}
