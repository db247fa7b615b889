import { fstatSync } from 'node:fs';
import { parseBoolean, parseHostPath, parseObject } from '../base/parse';
import { AT, MOUNT_ATTR, MS, OPEN_TREE } from './constants';
import { Fd } from './fd';
import { close } from './file';
import { mountSetattr, openTree } from './mount';

/**
 * A tree of mounts that is attached nowhere, as a value: a descriptor. It is attached once, to a new sandbox (`{type: 'tree', tree, target}`
 * among `mounts`) or to one that runs ({@link Sandbox.mount}), and belongs to that from then on. To be closed when it is not needed any more.
 */
export class MountTree extends Fd {
  /** Takes a descriptor over that open_tree(2) or fsmount(2) gave. */
  constructor(fd: number) {
    super(fd, 'a tree of mounts');
  }

  /**
   * A copy of what is mounted at a path of this process, without set-id files and devices, read-only unless `readonly: false`; with all that
   * is mounted below it unless `recursive: false`. open_tree(2) and mount_setattr(2), Linux 5.12. Throws SysError: EPERM without CAP_SYS_ADMIN over
   * the mount namespace, ENOENT.
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

  /** Whether a directory is at its top, or a file. */
  get kind(): 'dir' | 'file' {
    return fstatSync(this.fd).isDirectory() ? 'dir' : 'file';
  }
}
