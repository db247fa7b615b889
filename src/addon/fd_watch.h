#pragma once
#include "session.h"

namespace nsjs {

// Lives until uv_close has called back, even if the environment ends before.
class FdWatch {
 public:
  explicit FdWatch(Environment& owner);
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;
  ~FdWatch();

  void close();

  Environment& environment;
  uv_poll_t handle;
  int fd = -1;            // its owner's, who unwatches it first
  bool orphaned = false;  // the environment has ended: nobody else is left to close it
  napi_ref callback = nullptr;
  FdWatch* next = nullptr;
  FdWatch* previous = nullptr;

 private:
  bool closing_ = false;
};

}  // namespace nsjs
