#include "path.h"

#include "../plan/wire.h"

namespace nsjs {
namespace {

constexpr std::size_t kPathMax = 4096;
constexpr Status kNameTooLong{36, __NR_openat2};  // ENAMETOOLONG

}  // namespace

Result<Fd> resolve(int base, const char* path, int flags) {
  return sys::openat2(base, path, flags | O_PATH, 0, base == sys::kCwd ? 0 : kInRoot);
}

Result<Parent> resolve_parent(int base, const char* path) {
  Result<Parent> found;
  std::size_t end = 0;
  std::size_t slash = 0;
  for (; path[end] != 0; ++end)
    if (path[end] == '/') slash = end;
  if (slash >= kPathMax) {
    found.status = kNameTooLong;
    return found;
  }
  found.value.dir = base;
  found.value.name = path + slash + (path[slash] == '/' ? 1 : 0);
  if (slash == 0) return found;
  char directory[kPathMax];
  for (std::size_t index = 0; index < slash; ++index) directory[index] = path[index];
  directory[slash] = 0;
  auto opened = resolve(base, directory, O_DIRECTORY);
  found.status = opened.status;
  found.value.opened = std::move(opened.value);
  found.value.dir = found.value.opened.get();
  return found;
}

Result<Fd> move_high(Fd fd) {
  const auto moved = sys::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstFd);
  return {Fd(static_cast<int>(moved.value)), moved.status};
}

Status write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    NSJS_TRY_VALUE(written, sys::write(fd, data, size));
    data += written;
    size -= static_cast<std::size_t>(written);
  }
  return {};
}

const char* write_number(char (&to)[12], int number) {
  char digits[12];
  int count = 0;
  do digits[count++] = static_cast<char>('0' + number % 10);
  while ((number /= 10) != 0);
  char* at = to;
  while (count > 0) *at++ = digits[--count];
  *at = 0;
  return to;
}

ProcPath::ProcPath(int pid, const char* name) {
  char* at = text;
  for (const char* from = "/proc/"; *from != 0; ++from) *at++ = *from;
  char digits[12];
  for (const char* from = write_number(digits, pid); *from != 0; ++from) *at++ = *from;
  *at++ = '/';
  while (*name != 0 && at < text + sizeof text - 1) *at++ = *name++;
  *at = 0;
}

}  // namespace nsjs
