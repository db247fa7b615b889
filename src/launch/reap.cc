#include "reap.h"

#include "../sys/cred.h"
#include "../sys/process.h"

namespace nsjs {
namespace {

// Kills the whole process group of a child with one call, unless its session is that of this process: a process that
// forks outruns one kill per process. The group id cannot be reused before the child is reaped.
void kill_group(long child, long own_session, long& last) {
  const long group = sys::raw(__NR_getpgid, child);
  if (group <= 1 || group == last || sys::raw(__NR_getsid, child) == own_session) return;
  sys::raw(__NR_kill, -group, SIGKILL);
  last = group;
}

// Calls `act` for each pid in a list of proc(5). Reads the whole list: processes that are left out would start others
// before the next call. Returns false if there is no list.
template <typename Act>
bool for_each_pid(int directory, const char* path, Act act) {
  const auto list = sys::openat(directory, path, O_RDONLY);
  if (!list.ok()) return false;
  char text[1024] = {};
  long pid = 0;
  for (;;) {
    const auto got = sys::read(list.value.get(), text, sizeof text);
    if (!got.ok()) return false;
    if (got.value == 0) return true;
    for (long index = 0; index < got.value; ++index) {
      if (text[index] >= '0' && text[index] <= '9') {
        pid = pid * 10 + (text[index] - '0');
      } else if (pid != 0) {
        act(pid);
        pid = 0;
      }
    }
  }
}

constexpr int kNproc = 6;  // RLIMIT_NPROC
constexpr int kDeepest = 24;

struct ChildrenPath {
  char text[64];
};

// The children of a process's first thread. Children of other threads are reparented and found when the process has
// died.
ChildrenPath children_of(const char* proc, long pid) {
  char digits[24];
  char* number = digits + sizeof digits;
  *--number = '\0';
  for (long left = pid; left > 0; left /= 10) *--number = static_cast<char>('0' + left % 10);
  ChildrenPath path{};
  char* end = path.text;
  const char* const parts[] = {proc, number, "/task/", number, "/children"};
  for (const char* part : parts)
    while (*part != '\0') *end++ = *part++;
  return path;
}

// Keeps a process and all its descendants from starting others, because a fork bomb is faster than kills one by one. A
// stopped process reaps no child, so the pids below it stay valid.
void hold(int directory, const char* proc, long pid, int depth) {
  const struct { std::uint64_t soft, hard; } none{};
  sys::raw(__NR_prlimit64, pid, kNproc, sys::as_arg(&none), 0);
  sys::raw(__NR_kill, pid, SIGSTOP);
  if (depth == 0) return;
  const ChildrenPath path = children_of(proc, pid);
  for_each_pid(directory, path.text, [&](long child) { hold(directory, proc, child, depth - 1); });
}

// Kills each child of this process. Their pids stay valid until this process reaps them.
bool kill_children(int directory, const char* proc, const char* list) {
  const long own_session = sys::raw(__NR_getsid, 0);
  long group = 0;
  if (!for_each_pid(directory, list, [&](long pid) { hold(directory, proc, pid, kDeepest); })) return false;
  return for_each_pid(directory, list, [&](long pid) {
    kill_group(pid, own_session, group);
    sys::raw(__NR_kill, pid, SIGKILL);
  });
}

}  // namespace

void kill_descendants(int directory, const char* proc, const char* list) {
  for (;;) {
    if (!kill_children(directory, proc, list)) return;
    siginfo_t info{};
    struct rusage usage {};
    if (!sys::waitid(sys::kAllChildren, 0, &info, WEXITED | kWaitAll, &usage).ok()) return;
    // Reaps all other children that have died: each one that stays in the list makes the next pass slower.
    do info.si_pid = 0;
    while (sys::waitid(sys::kAllChildren, 0, &info, WEXITED | WNOHANG | kWaitAll, &usage).ok() && info.si_pid != 0);
  }
}

}  // namespace nsjs
