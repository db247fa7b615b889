// The entry point of the launcher. The addon executes it from a sealed memfd with an empty environment and the
// descriptors of wire.h; this process is the keeper. It contains no policy and only executes the plan.
#include <new>

#include "../sys/cred.h"
#include "../sys/process.h"
#include "keeper.h"
#include "map.h"

extern "C" {

// The compiler may emit calls of these functions, and there is no libc to provide them.
[[gnu::used]] void* memset(void* to, int value, std::size_t size) {
  auto* bytes = static_cast<unsigned char*>(to);
  for (std::size_t index = 0; index < size; ++index) bytes[index] = static_cast<unsigned char>(value);
  return to;
}

[[gnu::used]] void* memcpy(void* to, const void* from, std::size_t size) {
  auto* target = static_cast<unsigned char*>(to);
  const auto* source = static_cast<const unsigned char*>(from);
  for (std::size_t index = 0; index < size; ++index) target[index] = source[index];
  return to;
}

[[noreturn, gnu::used]] void launcher_main();
}

#if defined(__x86_64__)
asm(".globl _start\n_start:\n xor %ebp, %ebp\n and $-16, %rsp\n call launcher_main\n");
#elif defined(__aarch64__)
asm(".globl _start\n_start:\n mov x29, #0\n mov x30, #0\n bl launcher_main\n");
#endif

namespace nsjs {
namespace {

// Too large for the stack, and never destroyed: a static Context would need atexit(3).
alignas(Context) unsigned char g_context[sizeof(Context)];

// Keeps only the descriptors that the addon placed; descriptors that Node had open without CLOEXEC are closed here.
Status adopt(Context& context) {
  const unsigned fds = context.plan.fds();
  NSJS_TRY(sys::close_range(0, kFirstFd - 1, 0));
  NSJS_TRY(sys::close_range(kSlotFd + fds, ~0u, 0));
  NSJS_TRY(sys::close_range(kFirstFd, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */));
  for (unsigned slot = 0; slot < fds; ++slot) context.slots[slot].fd = Fd(kSlotFd + static_cast<int>(slot));
  NSJS_TRY(sys::reset_signal(SIGCHLD));  // if ignored, the exit status of init would be lost
  NSJS_TRY(sys::chdir("/"));             // the caller's directory must be neither held nor visible
  return sys::umask(0);                  // modes in a plan apply unchanged
}

}  // namespace
}  // namespace nsjs

extern "C" [[noreturn]] void launcher_main() {
  using namespace nsjs;
  Context& context = *new (g_context) Context;
  if (!map_plan(kPlanFd, context.plan).ok()) sys::exit_group(120);
  if (const Status status = adopt(context); !status.ok()) {
    report(context, kHost, {0, status});
    sys::exit_group(121);
  }
  keep(context);
}
