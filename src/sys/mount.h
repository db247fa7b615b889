// Mounts by file descriptor: fsopen(2), open_tree(2), move_mount(2), mount_setattr(2), pivot_root(2).
#pragma once
#include <linux/mount.h>

#include "file.h"

namespace nsjs::sys {

constexpr unsigned kMoveMountFromFd = 0x4;  // MOVE_MOUNT_F_EMPTY_PATH
constexpr unsigned kMoveMountToFd = 0x40;   // MOVE_MOUNT_T_EMPTY_PATH
constexpr unsigned kAtEmptyPath = 0x1000;   // AT_EMPTY_PATH
constexpr unsigned kMountDetach = 2;        // MNT_DETACH

inline Result<Fd> open_tree(int dir, const char* path, unsigned flags) {
  return to_fd(__NR_open_tree, raw(__NR_open_tree, dir, as_arg(path), flags));
}

inline Result<Fd> fsopen(const char* type) { return to_fd(__NR_fsopen, raw(__NR_fsopen, as_arg(type), 1 /* FSOPEN_CLOEXEC */)); }

inline Status fsconfig(int fs, unsigned command, const char* key, const char* value) {
  return to_status(__NR_fsconfig, raw(__NR_fsconfig, fs, command, as_arg(key), as_arg(value), 0));
}

inline Result<Fd> fsmount(int fs, unsigned attributes) {
  return to_fd(__NR_fsmount, raw(__NR_fsmount, fs, 1 /* FSMOUNT_CLOEXEC */, attributes));
}

inline Status move_mount(int tree, int target) {
  static constexpr char kEmpty[] = "";
  return to_status(__NR_move_mount, raw(__NR_move_mount, tree, as_arg(kEmpty), target, as_arg(kEmpty), kMoveMountFromFd | kMoveMountToFd));
}

inline Status mount_setattr(int tree, unsigned flags, mount_attr attributes) {
  static constexpr char kEmpty[] = "";
  return to_status(__NR_mount_setattr,
                   raw(__NR_mount_setattr, tree, as_arg(kEmpty), flags | kAtEmptyPath, as_arg(&attributes), sizeof attributes));
}

inline Status mount_propagation(unsigned long flags) {
  static constexpr char kRoot[] = "/";
  return to_status(__NR_mount, raw(__NR_mount, 0, as_arg(kRoot), 0, static_cast<long>(flags), 0));
}

inline Status pivot_root(const char* new_root, const char* put_old) {
  return to_status(__NR_pivot_root, raw(__NR_pivot_root, as_arg(new_root), as_arg(put_old)));
}

inline Status umount2(const char* target, unsigned flags) { return to_status(__NR_umount2, raw(__NR_umount2, as_arg(target), flags)); }

}  // namespace nsjs::sys
