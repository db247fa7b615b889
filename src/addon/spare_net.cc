#include "spare_net.h"

#include <net/if.h>

#include <cerrno>
#include <cstring>

#include "../sys/file.h"
#include "../sys/process.h"
#include "../sys/socket.h"
#include "bind.h"
#include "session.h"
#include "stack.h"

namespace nsjs {
namespace {

constexpr unsigned kSetFlags = 0x8914;  // SIOCSIFFLAGS
constexpr std::size_t kThreadStack = 64 * 1024;

Status loopback_up() {
  NSJS_TRY_VALUE(socket, sys::socket(AF_INET, SOCK_DGRAM, 0));
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return sys::ioctl(socket.get(), kSetFlags, sys::as_arg(&request)).status;
}

// Like operation Sysctl: files that this kernel lacks are skipped.
Status write_sysctls(const char* at, const char* end) {
  NSJS_TRY_VALUE(directory, sys::openat(sys::kCwd, "/proc/sys", O_PATH | O_DIRECTORY));
  while (at < end) {
    const char* path = at;
    const char* value = path + std::strlen(path) + 1;
    const std::size_t size = std::strlen(value);
    at = value + size + 1;
    const auto file = sys::openat(directory.get(), path, O_WRONLY);
    if (file.status.err == ENOENT) continue;
    NSJS_TRY(file.status);
    NSJS_TRY(sys::write(file.value.get(), value, size).status);
  }
  return {};
}

// Only the calling thread, which exits afterwards, enters the new namespace.
Result<Fd> fresh_net(const char* sysctls, std::size_t size) {
  if (const Status status = sys::unshare(CLONE_NEWNET); !status.ok()) return {Fd(), status};
  if (const Status status = loopback_up(); !status.ok()) return {Fd(), status};
  if (const Status status = write_sysctls(sysctls, sysctls + size); !status.ok()) return {Fd(), status};
  return sys::openat(sys::kCwd, "/proc/thread-self/ns/net", O_RDONLY);
}

}  // namespace

void SpareNet::run(void* argument) {
  auto* self = static_cast<SpareNet*>(argument);
  self->made_ = fresh_net(self->sysctls_, self->sysctls_size_).value;
  self->failed_ = !self->made_.is_open();
  self->done_.store(true, std::memory_order_release);
}

void SpareNet::make(const char* sysctls, std::size_t size) {
  if (runs_ && done_.load(std::memory_order_acquire)) join();
  if (runs_ || failed_ || made_.is_open() || size > sizeof sysctls_) return;
  std::memcpy(sysctls_, sysctls, size);
  sysctls_size_ = size;
  done_.store(false, std::memory_order_relaxed);
  uv_thread_options_t options{};
  options.flags = UV_THREAD_HAS_STACK_SIZE;
  options.stack_size = kThreadStack;
  const BlockedSignals blocked(kLibcSignals);  // the thread inherits the mask
  runs_ = uv_thread_create_ex(&thread_, &options, run, this) == 0;
}

Fd SpareNet::take() {
  if (runs_ && !done_.load(std::memory_order_acquire)) return Fd();
  join();
  return std::move(made_);
}

void SpareNet::join() {
  if (runs_) uv_thread_join(&thread_);
  runs_ = false;
}

void make_net(const Napi::CallbackInfo& info) {
  auto sysctls = info[0].As<Napi::Uint8Array>();
  Environment::of(info.Env()).net.make(reinterpret_cast<const char*>(sysctls.Data()), sysctls.ByteLength());
}

Napi::Value take_net(const Napi::CallbackInfo& info) {
  SpareNet& spare = Environment::of(info.Env()).net;
  if (info[0].As<Napi::Number>().Int32Value() != 0) spare.settle();
  return Napi::Number::New(info.Env(), spare.take().release());
}

}  // namespace nsjs
