// Waits for a descriptor on the event loop: for a pidfd that becomes readable, or a file that changes.
#include "fd_watch.h"

#include "bind.h"
#include "values.h"

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
  napi_env env = environment.env;
  napi_handle_scope scope = nullptr;
  napi_open_handle_scope(env, &scope);
  napi_value callback = nullptr;
  napi_get_reference_value(env, watch->callback, &callback);
  if (callback != nullptr) call_back(env, callback, events);
  napi_close_handle_scope(env, scope);
}

}  // namespace

FdWatch::FdWatch(Environment& owner) : environment(owner) { environment.add(environment.watches, this); }

FdWatch::~FdWatch() {
  if (callback != nullptr) napi_delete_reference(environment.env, callback);
  environment.remove(environment.watches, this);
}

void FdWatch::close() {
  if (closing_) return;
  closing_ = true;
  orphaned = environment.ending;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle), on_closed);
}

// `events` as in uv_poll_start: 1 readable, 2 writable, 8 priority
napi_value watch_fd(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Environment& environment = Environment::of(env);
  auto* watch = new FdWatch(environment);
  watch->handle.data = watch;
  watch->fd = arguments.int32(0);
  int error = uv_poll_init(environment.loop, &watch->handle, watch->fd);
  if (error != 0) {
    delete watch;
    return number(env, error);
  }
  napi_create_reference(env, arguments[2], 1, &watch->callback);
  error = uv_poll_start(&watch->handle, arguments.int32(1), on_ready);
  if (error != 0) {
    watch->close();
    return number(env, error);
  }
  napi_value external = nullptr;
  napi_create_external(env, watch, nullptr, nullptr, &external);
  return external;
}

napi_value ref_watch(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* handle = reinterpret_cast<uv_handle_t*>(&arguments.external<FdWatch>(0)->handle);
  arguments.int32(1) != 0 ? uv_ref(handle) : uv_unref(handle);
  return nullptr;
}

napi_value keep_fd(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  bool kept = false;
  for (Fd& place : Environment::of(env).kept) {
    if (place.is_open()) continue;
    place = Fd(arguments.int32(0));
    kept = true;
    break;
  }
  napi_value result = nullptr;
  napi_get_boolean(env, kept, &result);
  return result;
}

napi_value drop_fd(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  for (Fd& place : Environment::of(env).kept)
    if (place.is_open() && place.get() == arguments.int32(0)) place.reset();
  return nullptr;
}

napi_value unwatch_fd(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  arguments.external<FdWatch>(0)->close();
  return nullptr;
}

}  // namespace nsjs
