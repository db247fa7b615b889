// Helpers for a clone that shares this process's memory: a stack for the child, and blocked signals.
#pragma once
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "../sys/process.h"

namespace nsjs {

constexpr std::size_t kStackSize = 64 * 1024;

// A separate stack for the child, with a guard page below. On arm64 a page can be as large as the whole stack.
class Stack {
 public:
  Stack() : base_(mmap(nullptr, size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {
    if (ok()) mprotect(base_, guard_, PROT_NONE);
  }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack() {
    if (ok()) munmap(base_, size());
  }
  [[nodiscard]] bool ok() const { return base_ != MAP_FAILED; }
  [[nodiscard]] void* top() const { return static_cast<char*>(base_) + size(); }

 private:
  [[nodiscard]] std::size_t size() const { return guard_ + kStackSize; }

  std::size_t guard_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* base_;
};

// Signals that libc reserves. It uses one of them to apply changed ids to every thread, and waits until each thread has
// handled it.
constexpr std::uint64_t kLibcSignals = 3ull << 31;

class BlockedSignals {
 public:
  explicit BlockedSignals(std::uint64_t except = 0) {
    const std::uint64_t blocked = ~except;
    sys::raw(__NR_rt_sigprocmask, SIG_SETMASK, sys::as_arg(&blocked), sys::as_arg(&before_), sizeof blocked);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  ~BlockedSignals() { sys::raw(__NR_rt_sigprocmask, SIG_SETMASK, sys::as_arg(&before_), 0, sizeof before_); }

 private:
  std::uint64_t before_ = 0;
};

// Calls `act` in a child that shares only this process's memory and descriptors. Returns when the child has ended.
inline Status run_beside(int (*act)(void*), void* argument, int flags) {
  const Stack stack;
  if (!stack.ok()) return {ENOMEM, __NR_mmap};
  int pid = -1;
  {
    const BlockedSignals blocked;
    // There is no exit signal, so that no other waiter reaps the child and no SIGCHLD handler runs.
    pid = clone(act, stack.top(), CLONE_VM | CLONE_VFORK | CLONE_FILES | flags, argument);
  }
  if (pid < 0) return {errno, __NR_clone};
  siginfo_t info{};
  return sys::waitid(1 /* P_PID */, pid, &info, WEXITED | static_cast<int>(0x80000000) /* __WCLONE */, nullptr);
}

}  // namespace nsjs
