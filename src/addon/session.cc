#include "session.h"

#include "fd_watch.h"

#include "../sys/process.h"

namespace nsjs {

void call_back(Napi::Function callback, int argument) {
  if (callback.IsEmpty()) return;
  const Napi::Env env = callback.Env();
  const napi_value value = Napi::Number::New(env, argument);
  // Without C++ exceptions Napi::Function::MakeCallback would throw the exception of a listener once more.
  if (napi_make_callback(env, nullptr, env.Global(), callback, 1, &value, nullptr) != napi_pending_exception) return;
  // A listener, or code that ran after it, has thrown. The exception must become an uncaught exception now: if left
  // pending, it would come out of the next call into the addon and keep this callback from running again.
  napi_value exception = nullptr;
  napi_get_and_clear_last_exception(env, &exception);
  napi_fatal_exception(env, exception);
}

Session::Session(Environment& environment, Fd control, Fd init, Fd keeper) : environment_(environment) {
  fds_[kControlChannel] = std::move(control);
  fds_[kInitChannel] = std::move(init);
  fds_[kKeeperEnd] = std::move(keeper);
  environment_.add(environment_.sessions, this);
}

Session::~Session() {
  callback_.Reset();  // before the environment may end
  environment_.remove(environment_.sessions, this);
}

int Session::watch(Napi::Function callback) {
  if (!callback.IsEmpty()) callback_ = Napi::Persistent(callback);
  for (unsigned channel = 0; channel < kChannels; ++channel) {
    Poll& poll = polls_[channel];
    if (poll.active || !fds_[channel].is_open()) continue;
    poll.session = this;
    poll.channel = static_cast<Channel>(channel);
    poll.handle.data = &poll;
    if (const int error = uv_poll_init(environment_.loop, &poll.handle, fds_[channel].get()); error != 0) return error;
    poll.active = true;
    ++open_handles_;
    if (const int error = uv_poll_start(&poll.handle, UV_READABLE, on_readable); error != 0) return error;
  }
  return 0;
}

void Session::on_readable(uv_poll_t* handle, int, int) {
  auto* poll = static_cast<Poll*>(handle->data);
  Session* session = poll->session;
  Environment& environment = session->environment_;
  if (environment.ending) {
    if (poll->channel == kKeeperEnd) session->close();
    return;
  }
  const Napi::HandleScope scope(environment.env);
  call_back(session->callback_.Value(), poll->channel);
}

void Session::ref(bool on) {
  for (Poll& poll : polls_) {
    if (!poll.active) continue;
    auto* handle = reinterpret_cast<uv_handle_t*>(&poll.handle);
    on ? uv_ref(handle) : uv_unref(handle);
  }
}

void Session::stop(Channel channel) {
  Poll& poll = polls_[channel];
  if (poll.active) {
    poll.active = false;
    uv_close(reinterpret_cast<uv_handle_t*>(&poll.handle), on_closed);
  }
  if (channel != kKeeperEnd) fds_[channel].reset();
}

void Session::take(Stdio& stdio, std::int32_t* numbers, std::size_t count) {
  for (unsigned index = 0; index < count && index < kMaxLoose; ++index) {
    loose[index] = std::move(stdio.pairs[index].ours);
    numbers[index] = loose[index].get();
  }
}

void Session::close_channels() {
  stop(kControlChannel);
  stop(kInitChannel);
  for (Fd& fd : loose) fd.reset();
  for (Fd& fd : held) fd.reset();
}

int Session::close() {
  if (closing_) return 0;
  closing_ = true;
  // ECHILD is not an error: SIGCHLD may be ignored in this process.
  siginfo_t info{};
  (void)sys::waitid(sys::kPidfdType, fds_[kKeeperEnd].get(), &info, WEXITED | WNOHANG, nullptr);
  close_channels();
  stop(kKeeperEnd);
  free_if_done();
  return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

void Session::on_closed(uv_handle_t* handle) {
  Session* session = static_cast<Poll*>(handle->data)->session;
  --session->open_handles_;
  session->free_if_done();
}

void Session::free_if_done() {
  if (closing_ && open_handles_ == 0) delete this;
}

Environment::Environment(Napi::Env environment) : env(environment) {
  napi_get_uv_event_loop(env, &loop);
  napi_add_async_cleanup_hook(env, on_cleanup, this, &hook);
  (void)door.open();  // the first launch tries again and reports a failure
}

Environment::~Environment() = default;

// Ends every sandbox of this environment. The hook keeps the loop alive until the last keeper is reaped.
void Environment::on_cleanup(napi_async_cleanup_hook_handle, void* data) {
  auto* environment = static_cast<Environment*>(data);
  environment->ending = true;
  for (Session* session = environment->sessions; session != nullptr; session = session->next) {
    session->close_channels();
    session->watch({});
    session->ref(true);
  }
  for (FdWatch* watch = environment->watches; watch != nullptr; watch = watch->next) watch->close();
  environment->finish_if_idle();
}

void Environment::finish_if_idle() {
  if (!ending || sessions != nullptr || watches != nullptr) return;
  napi_remove_async_cleanup_hook(hook);
  delete this;
}

}  // namespace nsjs
