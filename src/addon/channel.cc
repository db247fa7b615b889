// Functions for a running session: its channels, further programs, and its end.
#include "../sys/socket.h"
#include "launch.h"
#include "stdio.h"
#include "values.h"

#include <cerrno>

namespace nsjs {

napi_value watch(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  return number(env, arguments.external<Session>(0)->watch(env, arguments[1]));
}

napi_value adopt(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  for (Fd& fd : arguments.external<Session>(0)->loose) fd.release();
  return nullptr;
}

// results: [pid of the process that the message is about, number of passed descriptors, these …]
napi_value receive(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  auto* session = arguments.external<Session>(0);
  const auto channel = static_cast<Channel>(arguments.int32(1));
  std::size_t size = 0;
  std::size_t room = 0;
  void* buffer = arguments.typed_array(2, &size);
  auto* results = static_cast<std::int32_t*>(arguments.typed_array(3, &room));
  const int fd = session->fd(channel);
  if (fd < 0) return number(env, 0);
  sys::Received received;
  Status status = sys::receive(fd, buffer, size, MSG_DONTWAIT, received);
  // ECONNRESET is returned once if the peer ended before it had read everything. Messages from it can still be read.
  if (status.err == ECONNRESET) status = sys::receive(fd, buffer, size, MSG_DONTWAIT, received);
  if (!status.ok()) return number(env, -status.err);
  if (received.size == 0) session->stop(channel);
  results[0] = received.pid;
  results[1] = 0;
  for (unsigned index = 0; index < received.count && index + 2 < room; ++index) {
    results[index + 2] = received.fds[index].release();
    results[1] = static_cast<std::int32_t>(index + 1);
  }
  return number(env, received.size);
}

napi_value send(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  std::size_t size = 0;
  const void* bytes = arguments.typed_array(2, &size);
  const auto sent = sys::send(arguments.external<Session>(0)->fd(static_cast<Channel>(arguments.int32(1))), bytes, size);
  return number(env, sent.ok() ? sent.value : -sent.status.err);
}

namespace {

Status send_program(const Session& session, std::uint32_t id, const Fd& plan, const Stdio& stdio) {
  int fds[kMaxPassedFds + 1] = {plan.get()};
  for (unsigned index = 0; index < stdio.count; ++index) fds[index + 1] = stdio.theirs[index];
  const Request request{Command::kSpawn, id, 0};
  sys::Beside beside;
  beside.fds = fds;
  beside.count = stdio.count + 1;
  return sys::send(session.fd(kInitChannel), &request, sizeof request, beside).status;
}

}  // namespace

// results: [errno, system call, this side's descriptor of each stdio entry or -1 …]
napi_value spawn_program(napi_env env, napi_callback_info info) {
  const Arguments<7> arguments(env, info);
  auto* session = arguments.external<Session>(0);
  std::size_t plan_size = 0;
  std::size_t count = 0;
  std::size_t room = 0;
  const void* bytes = arguments.typed_array(2, &plan_size);
  const auto* wanted = static_cast<const std::int32_t*>(arguments.typed_array(3, &count));
  auto* results = static_cast<std::int32_t*>(arguments.typed_array(6, &room));
  Stdio stdio;
  auto plan = write_plan(bytes, plan_size);
  Status status = plan.status;
  const Owner owner{static_cast<unsigned>(arguments.int32(4)), static_cast<unsigned>(arguments.int32(5))};
  if (status.ok()) status = open_stdio(stdio, wanted, count, owner);
  if (status.ok()) status = send_program(*session, static_cast<std::uint32_t>(arguments.int32(1)), plan.value, stdio);
  results[0] = status.err;
  results[1] = static_cast<std::int32_t>(status.nr);
  if (status.ok()) session->take(stdio, results + 2, room - 2);
  return nullptr;
}

napi_value fd(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  return number(env, arguments.external<Session>(0)->fd(static_cast<Channel>(arguments.int32(1))));
}

napi_value hold(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  std::size_t count = 0;
  const auto* fds = static_cast<const std::int32_t*>(arguments.typed_array(1, &count));
  unsigned next = 0;
  for (Fd& held : arguments.external<Session>(0)->held) {
    if (count == 0) held.reset();
    if (!held.is_open() && next < count) held = Fd(fds[next++]);
  }
  for (; next < count; ++next) Fd(fds[next]).reset();  // no room left; callers stay within kMaxHeld
  return nullptr;
}

napi_value ref(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  arguments.external<Session>(0)->ref(arguments.int32(1) != 0);
  return nullptr;
}

napi_value close_session(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* session = arguments.external<Session>(0);
  if (arguments.int32(1) != 0) return number(env, session->close());
  session->close_channels();
  return number(env, 0);
}

}  // namespace nsjs
