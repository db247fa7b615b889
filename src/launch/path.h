// Paths inside the sandbox's root, resolved so that no link can lead out of it.
#pragma once
#include "../sys/file.h"

namespace nsjs {

// RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
constexpr unsigned long kInRoot = 0x10 | 0x04 | 0x02;

// O_PATH descriptor of `path`: below `base` without following any link, or as the kernel resolves it when base is kCwd.
Result<Fd> resolve(int base, const char* path, int flags);

// The directory that holds `path`, resolved as above, and the last name in it.
struct Parent {
  int dir = -1;  // `base` itself, or `opened`
  Fd opened;
  const char* name = nullptr;
};
Result<Parent> resolve_parent(int base, const char* path);

// The same descriptor above every number that the program may want, so that Dup can place its own in any order.
Result<Fd> move_high(Fd fd);

Status write_all(int fd, const char* data, std::size_t size);

// Decimal, at the start of the buffer.
const char* write_number(char (&to)[12], int number);

// "/proc/<pid>/<name>" in a buffer of its own
struct ProcPath {
  ProcPath(int pid, const char* name);
  char text[64];
};

}  // namespace nsjs
