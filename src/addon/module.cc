// All functions that the addon exports. Arguments and results are primitive values, typed arrays, callbacks and
// externals; errors are negative errno values. Every Error object is made in TypeScript (lib/native/addon.ts declares
// the types).
#include "bind.h"
#include "launch.h"

#include "../sys/process.h"

namespace nsjs {
namespace {

Napi::Value poll(const Napi::CallbackInfo& info) {
  auto fds = info[0].As<Napi::Int32Array>();
  pollfd polled[64];
  const unsigned entries = static_cast<unsigned>(fds.ElementLength() < 64 ? fds.ElementLength() : 64);
  for (unsigned index = 0; index < entries; ++index) polled[index] = {fds[index] >> 3, static_cast<short>(fds[index] & 7), 0};
  const auto ready = sys::ppoll(polled, entries, info[1].As<Napi::Number>());
  for (unsigned index = 0; index < entries; ++index) fds[index] = polled[index].revents;
  return Napi::Number::New(info.Env(), ready.ok() ? static_cast<double>(ready.value) : -ready.status.err);
}

// An OFD lock on one byte. It belongs to the open file description, so it lasts as long as any process holds a copy of
// the descriptor.
Napi::Value lock_byte(const Napi::CallbackInfo& info) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = info[1].As<Napi::Number>().Int32Value();
  lock.l_len = 1;
  const auto locked = sys::fcntl(info[0].As<Napi::Number>(), 37 /* F_OFD_SETLK */, sys::as_arg(&lock));
  return Napi::Number::New(info.Env(), -locked.status.err);
}

// Sessions may outlive the instance data: the cleanup hook deletes the environment after the last one.
void leave_environment(Napi::Env, Environment*) {}

template <auto function>
void add(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<function>(exports.Env(), name));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData<Environment, leave_environment>(new Environment(env));
  add<launch>(exports, "launch");
  add<watch>(exports, "watch");
  add<adopt>(exports, "adopt");
  add<receive>(exports, "receive");
  add<send>(exports, "send");
  add<spawn_program>(exports, "spawnProgram");
  add<fd>(exports, "fd");
  add<hold>(exports, "hold");
  add<ref>(exports, "ref");
  add<close_session>(exports, "close");
  add<image>(exports, "image");
  add<poll>(exports, "poll");
  add<lock_byte>(exports, "lockByte");
  add<syscall_now>(exports, "syscall");
  add<syscall_later>(exports, "syscallLater");
  add<address>(exports, "address");
  add<clone_exec>(exports, "cloneExec");
  add<in_namespace>(exports, "inNamespace");
  add<empty_mounts>(exports, "emptyMounts");
  add<make_net>(exports, "makeNet");
  add<take_net>(exports, "takeNet");
  add<ns_links>(exports, "nsLinks");
  add<file_ids>(exports, "fileIds");
  add<same_files>(exports, "sameFiles");
  add<watch_fd>(exports, "watchFd");
  add<ref_watch>(exports, "refWatch");
  add<keep_fd>(exports, "keepFd");
  add<drop_fd>(exports, "dropFd");
  add<unwatch_fd>(exports, "unwatchFd");
  return exports;
}

}  // namespace
}  // namespace nsjs

using nsjs::init;
NODE_API_MODULE(nsjs, init)
