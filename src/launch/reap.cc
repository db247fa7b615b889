#include "reap.h"

#include "../sys/process.h"

namespace nsjs {
namespace {

constexpr int kAll = 0;  // P_ALL

// The whole group at once, where its session is not this process's own: fork(2) is faster than a kill for each. It is the child's until
// it is waited for.
void kill_group(long child, long own_session, long& last) {
  const long group = sys::raw(__NR_getpgid, child);
  if (group <= 1 || group == last || sys::raw(__NR_getsid, child) == own_session) return;
  sys::raw(__NR_kill, -group, SIGKILL);
  last = group;
}

// Reads the pids of this process's children and kills each: they are this process's own until it waits for them.
bool kill_children(int directory, const char* path) {
  const auto list = sys::openat(directory, path, O_RDONLY);
  if (!list.ok()) return false;
  char text[4096] = {};
  const auto got = sys::read(list.value.get(), text, sizeof text - 1);
  if (!got.ok()) return false;
  const long own_session = sys::raw(__NR_getsid, 0);
  long group = 0;
  long pid = 0;
  for (long index = 0; index < got.value; ++index) {
    if (text[index] >= '0' && text[index] <= '9') {
      pid = pid * 10 + (text[index] - '0');
    } else if (pid != 0) {
      kill_group(pid, own_session, group);
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
    // All that have died meanwhile: with each that is left in the list the next look takes longer.
    do info.si_pid = 0;
    while (sys::waitid(kAll, 0, &info, WEXITED | WNOHANG | kWaitAll, &usage).ok() && info.si_pid != 0);
  }
}

}  // namespace nsjs
