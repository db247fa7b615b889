// A network namespace that is made before it is asked for, on a thread of its own: nothing else that a sandbox is made of takes the kernel
// as long.
#pragma once
#include <uv.h>

#include <atomic>

#include "../sys/fd.h"
#include "../sys/result.h"

namespace nsjs {

class SpareNet {
 public:
  SpareNet() = default;
  SpareNet(const SpareNet&) = delete;
  SpareNet& operator=(const SpareNet&) = delete;
  ~SpareNet() { join(); }

  // Begins to make one, unless there is one or one is being made. Needs CAP_SYS_ADMIN; where it fails there will be none.
  // `sysctls`: path below /proc/sys, text, path, text …, which are written there.
  void make(const char* sysctls, std::size_t size);
  // None where none is ready.
  Fd take();
  // Waits for one that is being made.
  void settle() { join(); }

 private:
  static void run(void* argument);
  void join();

  uv_thread_t thread_{};
  bool runs_ = false;
  std::atomic<bool> done_{false};
  Fd made_;
  bool failed_ = false;
  char sysctls_[512] = {};
  std::size_t sysctls_size_ = 0;
};

}  // namespace nsjs
