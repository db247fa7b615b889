// Files: one wrapper per system call, named as in section 2 of the manual.
#pragma once
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cstddef>

#include "fd.h"
#include "result.h"

namespace nsjs::sys {

constexpr int kCwd = -100;  // AT_FDCWD

inline Result<Fd> to_fd(long nr, long result) {
  const Status status = to_status(nr, result);
  return {Fd(status.ok() ? static_cast<int>(result) : -1), status};
}

inline Result<Fd> openat(int dir, const char* path, int flags, unsigned mode = 0) {
  return to_fd(__NR_openat, raw(__NR_openat, dir, as_arg(path), flags | O_CLOEXEC, mode));
}

inline Result<Fd> openat2(int dir, const char* path, int flags, unsigned mode, unsigned long resolve) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags) | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  return to_fd(__NR_openat2, raw(__NR_openat2, dir, as_arg(path), as_arg(&how), sizeof how));
}

inline Result<long> read(int fd, void* to, std::size_t size) {
  const long result = raw(__NR_read, fd, as_arg(to), static_cast<long>(size));
  return {result, to_status(__NR_read, result)};
}

inline Result<long> write(int fd, const void* from, std::size_t size) {
  const long result = raw(__NR_write, fd, as_arg(from), static_cast<long>(size));
  return {result, to_status(__NR_write, result)};
}

inline Status mkdirat(int dir, const char* path, unsigned mode) {
  return to_status(__NR_mkdirat, raw(__NR_mkdirat, dir, as_arg(path), mode));
}

inline Status symlinkat(const char* target, int dir, const char* path) {
  return to_status(__NR_symlinkat, raw(__NR_symlinkat, as_arg(target), dir, as_arg(path)));
}

inline Status unlinkat(int dir, const char* path, int flags) {
  return to_status(__NR_unlinkat, raw(__NR_unlinkat, dir, as_arg(path), flags));
}

inline Status fchdir(int fd) { return to_status(__NR_fchdir, raw(__NR_fchdir, fd)); }
inline Status chdir(const char* path) { return to_status(__NR_chdir, raw(__NR_chdir, as_arg(path))); }
inline Status fchown(int fd, unsigned uid, unsigned gid) { return to_status(__NR_fchown, raw(__NR_fchown, fd, uid, gid)); }

inline Status chroot(const char* path) { return to_status(__NR_chroot, raw(__NR_chroot, as_arg(path))); }

inline Status dup3(int from, int to, int flags) { return to_status(__NR_dup3, raw(__NR_dup3, from, to, flags)); }
inline Status close_range(unsigned first, unsigned last, unsigned flags) {
  return to_status(__NR_close_range, raw(__NR_close_range, first, last, flags));
}
inline Result<long> fcntl(int fd, int command, long argument) {
  const long result = raw(__NR_fcntl, fd, command, argument);
  return {result, to_status(__NR_fcntl, result)};
}

inline Result<long> ioctl(int fd, unsigned request, long argument) {
  const long result = raw(__NR_ioctl, fd, request, argument);
  return {result, to_status(__NR_ioctl, result)};
}

inline Result<Fd> memfd_create(const char* name, unsigned flags) {
  return to_fd(__NR_memfd_create, raw(__NR_memfd_create, as_arg(name), flags));
}

inline Result<struct stat> fstat(int fd) {
  struct stat found {};
  const Status status = to_status(__NR_fstat, raw(__NR_fstat, fd, as_arg(&found)));
  return {found, status};
}

inline Result<bool> is_directory(int fd) {
  const auto found = fstat(fd);
  return {S_ISDIR(found.value.st_mode), found.status};
}

inline Result<std::uint64_t> inode_of(int fd) {
  const auto found = fstat(fd);
  return {found.value.st_ino, found.status};
}

// Inode number of the file that `path` leads to: for /proc/…/ns/* the number of the namespace.
inline Result<std::uint64_t> inode(int dir, const char* path) {
  struct stat status_buffer {};
  const Status status =
#ifdef __NR_newfstatat
      to_status(__NR_newfstatat, raw(__NR_newfstatat, dir, as_arg(path), as_arg(&status_buffer), 0));
#else
      to_status(__NR_fstatat, raw(__NR_fstatat, dir, as_arg(path), as_arg(&status_buffer), 0));
#endif
  return {status_buffer.st_ino, status};
}

}  // namespace nsjs::sys
