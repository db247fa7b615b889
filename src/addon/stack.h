// Round a clone that shares this process's memory: a stack for the child, and no signal meanwhile.
#pragma once
#include <sys/mman.h>

#include "../sys/process.h"

namespace nsjs {

constexpr std::size_t kStackSize = 64 * 1024;
constexpr std::size_t kGuardSize = 4096;

// A stack of the child's own, with a guard page below.
class Stack {
 public:
  Stack() : base_(mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {
    if (ok()) mprotect(base_, kGuardSize, PROT_NONE);
  }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack() {
    if (ok()) munmap(base_, kStackSize);
  }
  [[nodiscard]] bool ok() const { return base_ != MAP_FAILED; }
  [[nodiscard]] void* top() const { return static_cast<char*>(base_) + kStackSize; }

 private:
  void* base_;
};

class BlockedSignals {
 public:
  BlockedSignals() {
    const std::uint64_t all = ~0ull;
    sys::raw(__NR_rt_sigprocmask, SIG_SETMASK, sys::as_arg(&all), sys::as_arg(&before_), sizeof all);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  ~BlockedSignals() { sys::raw(__NR_rt_sigprocmask, SIG_SETMASK, sys::as_arg(&before_), 0, sizeof before_); }

 private:
  std::uint64_t before_ = 0;
};

}  // namespace nsjs
