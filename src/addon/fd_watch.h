#pragma once
#include "session.h"

namespace nsjs {

// A watch on one descriptor. It lives until the callback of uv_close has run, even if the environment ends before.
class FdWatch {
 public:
  explicit FdWatch(Environment& owner);
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;
  ~FdWatch();

  static FdWatch& of(const Napi::Value& external) { return *external.As<Napi::External<FdWatch>>().Data(); }
  void close();

  Environment& environment;
  uv_poll_t handle;
  int fd = -1;            // owned by the caller, which unwatches it before it closes it
  bool orphaned = false;  // the environment has ended: this object closes `fd`
  Napi::FunctionReference callback;
  FdWatch* next = nullptr;
  FdWatch* previous = nullptr;

 private:
  bool closing_ = false;
};

}  // namespace nsjs
