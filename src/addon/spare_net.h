// A network namespace that a separate thread creates in advance: creating one takes the kernel longer than any other
// part of a sandbox.
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

  // Starts creating one, unless one exists or is being created. Needs CAP_SYS_ADMIN. After a failure none is created
  // any more. `sysctls`: path below /proc/sys, text, path, text …, each NUL-terminated; each text is written to its
  // path in the new namespace.
  void make(const char* sysctls, std::size_t size);
  // Returns a closed Fd if none is ready.
  Fd take();
  // Waits until the one that is being created is ready.
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
