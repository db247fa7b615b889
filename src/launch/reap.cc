#include "reap.h"

#include "../sys/process.h"

namespace nsjs {
namespace {

constexpr int kAll = 0;  // P_ALL

// Reads the pids of this process's children and kills each: they are this process's own until it waits for them.
bool kill_children(int directory, const char* path) {
  const auto list = sys::openat(directory, path, O_RDONLY);
  if (!list.ok()) return false;
  char text[4096] = {};
  const auto got = sys::read(list.value.get(), text, sizeof text - 1);
  if (!got.ok()) return false;
  long pid = 0;
  for (long index = 0; index < got.value; ++index) {
    if (text[index] >= '0' && text[index] <= '9') {
      pid = pid * 10 + (text[index] - '0');
    } else if (pid != 0) {
      sys::raw(__NR_kill, pid, SIGKILL);
      pid = 0;
    }
  }
  return true;
}

}  // namespace

void kill_descendants(int directory, const char* list) {
  for (;;) {
    if (!kill_children(directory, list)) return;
    siginfo_t info{};
    struct rusage usage {};
    if (!sys::waitid(kAll, 0, &info, WEXITED | kWaitAll, &usage).ok()) return;
  }
}

}  // namespace nsjs
