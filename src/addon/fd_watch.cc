// Waits for a descriptor on the event loop: for a pidfd that becomes readable, or a file that changes.
#include "fd_watch.h"

#include "bind.h"

namespace nsjs {
namespace {

void on_closed(uv_handle_t* handle) {
  auto* watch = static_cast<FdWatch*>(handle->data);
  if (watch->orphaned) Fd(watch->fd).reset();
  delete watch;
}

void on_ready(uv_poll_t* handle, int, int events) {
  auto* watch = static_cast<FdWatch*>(handle->data);
  Environment& environment = watch->environment;
  if (environment.ending) return;
  const Napi::HandleScope scope(environment.env);
  call_back(watch->callback.Value(), events);
}

}  // namespace

FdWatch::FdWatch(Environment& owner) : environment(owner) { environment.add(environment.watches, this); }

FdWatch::~FdWatch() {
  callback.Reset();  // before the environment may end
  environment.remove(environment.watches, this);
}

void FdWatch::close() {
  if (closing_) return;
  closing_ = true;
  orphaned = environment.ending;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle), on_closed);
}

// `events` as in uv_poll_start: 1 readable, 2 writable, 8 priority
Napi::Value watch_fd(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  auto* watch = new FdWatch(environment);
  watch->handle.data = watch;
  watch->fd = info[0].As<Napi::Number>();
  int error = uv_poll_init(environment.loop, &watch->handle, watch->fd);
  if (error != 0) {
    delete watch;
    return Napi::Number::New(info.Env(), error);
  }
  watch->callback = Napi::Persistent(info[2].As<Napi::Function>());
  error = uv_poll_start(&watch->handle, info[1].As<Napi::Number>(), on_ready);
  if (error != 0) {
    watch->close();
    return Napi::Number::New(info.Env(), error);
  }
  return Napi::External<FdWatch>::New(info.Env(), watch);
}

void ref_watch(const Napi::CallbackInfo& info) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&FdWatch::of(info[0]).handle);
  info[1].As<Napi::Number>().Int32Value() != 0 ? uv_ref(handle) : uv_unref(handle);
}

Napi::Value keep_fd(const Napi::CallbackInfo& info) {
  for (Fd& place : Environment::of(info.Env()).kept) {
    if (place.is_open()) continue;
    place = Fd(info[0].As<Napi::Number>());
    return Napi::Boolean::New(info.Env(), true);
  }
  return Napi::Boolean::New(info.Env(), false);
}

void drop_fd(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>();
  for (Fd& place : Environment::of(info.Env()).kept)
    if (place.is_open() && place.get() == fd) place.reset();
}

void unwatch_fd(const Napi::CallbackInfo& info) { FdWatch::of(info[0]).close(); }

}  // namespace nsjs
