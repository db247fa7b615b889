// All functions that the addon exports. Arguments and results are primitive values, typed arrays, callbacks and
// externals; errors are negative errno values. Every Error object is made in TypeScript (lib/native/addon.ts declares
// the types).
#include "bind.h"
#include "launch.h"
#include "values.h"

namespace nsjs {
namespace {

napi_value poll(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  std::size_t count = 0;
  auto* fds = static_cast<std::int32_t*>(arguments.typed_array(0, &count));
  pollfd polled[64];
  const unsigned entries = static_cast<unsigned>(count < 64 ? count : 64);
  for (unsigned index = 0; index < entries; ++index) polled[index] = {fds[index] >> 3, static_cast<short>(fds[index] & 7), 0};
  const auto ready = sys::ppoll(polled, entries, arguments.int32(1));
  for (unsigned index = 0; index < entries; ++index) fds[index] = polled[index].revents;
  return number(env, ready.ok() ? ready.value : -ready.status.err);
}

// An OFD lock on one byte. It belongs to the open file description, so it lasts as long as any process holds a copy of
// the descriptor.
napi_value lock_byte(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = arguments.int32(1);
  lock.l_len = 1;
  return number(env, -sys::fcntl(arguments.int32(0), 37 /* F_OFD_SETLK */, sys::as_arg(&lock)).status.err);
}

void delete_environment(napi_env, void*, void*) {}  // done by the cleanup hook: sessions may outlive the instance data

}  // namespace
}  // namespace nsjs

NAPI_MODULE_INIT() {
  using namespace nsjs;
  napi_set_instance_data(env, new Environment(env), delete_environment, nullptr);
  struct {
    const char* name;
    napi_callback function;
  } const functions[] = {{"launch", launch},
                         {"watch", watch},
                         {"adopt", adopt},
                         {"receive", receive},
                         {"send", send},
                         {"spawnProgram", spawn_program},
                         {"fd", fd},
                         {"hold", hold},
                         {"ref", ref},
                         {"close", close_session},
                         {"image", image},
                         {"poll", poll},
                         {"lockByte", lock_byte},
                         {"syscall", syscall_now},
                         {"syscallLater", syscall_later},
                         {"address", address},
                         {"cloneExec", clone_exec},
                         {"inNamespace", in_namespace},
                         {"emptyMounts", empty_mounts},
                         {"makeNet", make_net},
                         {"takeNet", take_net},
                         {"nsLinks", ns_links},
                         {"fileIds", file_ids},
                         {"sameFiles", same_files},
                         {"watchFd", watch_fd},
                         {"refWatch", ref_watch},
                         {"keepFd", keep_fd},
                         {"dropFd", drop_fd},
                         {"unwatchFd", unwatch_fd}};
  for (const auto& entry : functions) {
    napi_value function = nullptr;
    napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function);
    napi_set_named_property(env, exports, entry.name, function);
  }
  return exports;
}
