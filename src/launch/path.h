// Paths inside the sandbox's root, resolved so that no link can lead outside of it.
#pragma once
#include "../sys/file.h"

namespace nsjs {

// RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
constexpr unsigned long kInRoot = 0x10 | 0x04 | 0x02;

// Opens `path` with O_PATH: below `base` without following any link, or by the normal rules when `base` is kCwd.
Result<Fd> resolve(int base, const char* path, int flags);

// The directory that contains `path`, resolved like resolve(), and the last name in the path.
struct Parent {
  int dir = -1;  // `base` itself, or `opened`
  Fd opened;
  const char* name = nullptr;
};
Result<Parent> resolve_parent(int base, const char* path);

// Duplicates a descriptor above every number that the program may use, so that Dup can place its descriptors in any
// order.
Result<Fd> move_high(Fd fd);

Status write_all(int fd, const char* data, std::size_t size);

// Writes the number in decimal at the start of the buffer.
const char* write_number(char (&to)[12], int number);

// The text that follows in a list of texts, each of which ends with a NUL.
inline const char* after(const char* text) {
  while (*text != 0) ++text;
  return text + 1;
}

// "/proc/<pid>/<name>" in a buffer of its own.
struct ProcPath {
  ProcPath(int pid, const char* name);
  char text[64];
};

}  // namespace nsjs
