// The descriptors of a program: pipes and socket pairs that are created here, or descriptors of this process.
#pragma once
#include "../plan/wire.h"
#include "../sys/fd.h"
#include "../sys/result.h"

namespace nsjs {

struct Pair {
  Fd ours;
  Fd theirs;
};

// Host ids that own the created pipes; with kNoId this process keeps the ownership.
struct Owner {
  unsigned uid;
  unsigned gid;
};
constexpr unsigned kNoId = 0xffffffff;

struct Stdio {
  Pair pairs[kMaxPassedFds];
  int theirs[kMaxPassedFds];  // passed to the launcher; not owned
  unsigned count = 0;
};

// Placeholders for the descriptors of mounts.h; the caller replaces them.
constexpr std::int32_t kEmptyMounts = -4;
constexpr std::int32_t kProc = -5;

Status open_stdio(Stdio& stdio, const std::int32_t* wanted, std::size_t count, Owner owner);

// Returns a memfd that holds the plan.
Result<Fd> write_plan(const void* bytes, std::size_t size);

}  // namespace nsjs
