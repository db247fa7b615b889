#include "stdio.h"

#include <sys/mman.h>

#include <cerrno>

#include "../sys/socket.h"

namespace nsjs {
namespace {

// Kinds of stdio entries. An entry that is not negative is a descriptor to pass.
enum Kind : std::int32_t { kReadPipe = -1, kWritePipe = -2, kSocketPair = -3 };

Status open_pair(std::int32_t kind, Pair& pair) {
  int ends[2] = {-1, -1};
  NSJS_TRY(kind == kSocketPair ? sys::socketpair(SOCK_STREAM, ends) : sys::pipe2(ends, 0));
  const bool they_read = kind == kReadPipe;
  pair.theirs = Fd(ends[they_read ? 0 : 1]);
  pair.ours = Fd(ends[they_read ? 1 : 0]);
  return {};
}

}  // namespace

// Pipes that root creates are given to the sandbox's id; otherwise /dev/stdout could not be opened inside.
Status open_stdio(Stdio& stdio, const std::int32_t* wanted, std::size_t count, Owner owner) {
  if (count > kMaxPassedFds) return {EINVAL, 0};
  for (stdio.count = 0; stdio.count < count; ++stdio.count) {
    const std::int32_t kind = wanted[stdio.count];
    stdio.theirs[stdio.count] = kind;
    if (kind >= 0 || kind == kEmptyMounts || kind == kProc) continue;
    Pair& pair = stdio.pairs[stdio.count];
    NSJS_TRY(open_pair(kind, pair));
    if (owner.uid != kNoId) NSJS_TRY(sys::fchown(pair.theirs.get(), owner.uid, owner.gid));
    stdio.theirs[stdio.count] = pair.theirs.get();
  }
  return {};
}

Result<Fd> write_plan(const void* bytes, std::size_t size) {
  auto plan = sys::memfd_create("nsjs-plan", MFD_CLOEXEC);
  if (!plan.ok()) return plan;
  const auto written = sys::write(plan.value.get(), bytes, size);
  if (!written.ok()) plan.status = written.status;
  return plan;
}

}  // namespace nsjs
