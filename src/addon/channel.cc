// Functions for a running session: its channels, further programs, and its end.
#include "../sys/socket.h"
#include "launch.h"
#include "stdio.h"

#include <cerrno>

namespace nsjs {

namespace {

Channel channel(const Napi::Value& value) { return static_cast<Channel>(value.As<Napi::Number>().Uint32Value()); }

}  // namespace

Napi::Value watch(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Session::of(info[0]).watch(info[1].As<Napi::Function>()));
}

void adopt(const Napi::CallbackInfo& info) {
  for (Fd& fd : Session::of(info[0]).loose) fd.release();
}

// results: [pid of the process that the message is about, number of passed descriptors, these …]
// Reading the arguments takes 137 ns, against 62 ns with Node-API itself: Napi::TypedArrayOf asks for an array twice.
// Neither counts beside recvmsg(2), which takes more than 1,000 ns.
Napi::Value receive(const Napi::CallbackInfo& info) {
  Session& session = Session::of(info[0]);
  const Channel from = channel(info[1]);
  auto buffer = info[2].As<Napi::Uint8Array>();
  auto results = info[3].As<Napi::Int32Array>();
  const int fd = session.fd(from);
  if (fd < 0) return Napi::Number::New(info.Env(), 0);
  sys::Received received;
  Status status = sys::receive(fd, buffer.Data(), buffer.ByteLength(), MSG_DONTWAIT, received);
  // ECONNRESET is returned once if the peer ended before it had read everything. Messages from it can still be read.
  if (status.err == ECONNRESET) status = sys::receive(fd, buffer.Data(), buffer.ByteLength(), MSG_DONTWAIT, received);
  if (!status.ok()) return Napi::Number::New(info.Env(), -status.err);
  if (received.size == 0) session.stop(from);
  results[0] = received.pid;
  results[1] = 0;
  for (unsigned index = 0; index < received.count && index + 2 < results.ElementLength(); ++index) {
    results[index + 2] = received.fds[index].release();
    results[1] = static_cast<std::int32_t>(index + 1);
  }
  return Napi::Number::New(info.Env(), static_cast<double>(received.size));
}

Napi::Value send(const Napi::CallbackInfo& info) {
  auto bytes = info[2].As<Napi::Uint8Array>();
  const auto sent = sys::send(Session::of(info[0]).fd(channel(info[1])), bytes.Data(), bytes.ByteLength());
  return Napi::Number::New(info.Env(), sent.ok() ? static_cast<double>(sent.value) : -sent.status.err);
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
void spawn_program(const Napi::CallbackInfo& info) {
  Session& session = Session::of(info[0]);
  auto bytes = info[2].As<Napi::Uint8Array>();
  auto wanted = info[3].As<Napi::Int32Array>();
  const Owner owner{info[4].As<Napi::Number>(), info[5].As<Napi::Number>()};
  auto results = info[6].As<Napi::Int32Array>();
  Stdio stdio;
  auto plan = write_plan(bytes.Data(), bytes.ByteLength());
  Status status = plan.status;
  if (status.ok()) status = open_stdio(stdio, wanted.Data(), wanted.ElementLength(), owner);
  if (status.ok()) status = send_program(session, info[1].As<Napi::Number>(), plan.value, stdio);
  results[0] = status.err;
  results[1] = static_cast<std::int32_t>(status.nr);
  if (status.ok()) session.take(stdio, results.Data() + 2, results.ElementLength() - 2);
}

Napi::Value fd(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), Session::of(info[0]).fd(channel(info[1]))); }

void hold(const Napi::CallbackInfo& info) {
  auto fds = info[1].As<Napi::Int32Array>();
  const std::size_t count = fds.ElementLength();
  unsigned next = 0;
  for (Fd& held : Session::of(info[0]).held) {
    if (count == 0) held.reset();
    if (!held.is_open() && next < count) held = Fd(fds[next++]);
  }
  for (; next < count; ++next) Fd(fds[next]).reset();  // no room left; callers stay within kMaxHeld
}

void ref(const Napi::CallbackInfo& info) { Session::of(info[0]).ref(info[1].As<Napi::Number>().Int32Value() != 0); }

Napi::Value close_session(const Napi::CallbackInfo& info) {
  Session& session = Session::of(info[0]);
  if (info[1].As<Napi::Number>().Int32Value() != 0) return Napi::Number::New(info.Env(), session.close());
  session.close_channels();
  return Napi::Number::New(info.Env(), 0);
}

}  // namespace nsjs
