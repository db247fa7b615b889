// The program's descriptors: pipes and socket pairs made here, or descriptors of this process.
#pragma once
#include "../plan/wire.h"
#include "../sys/fd.h"
#include "../sys/result.h"

namespace nsjs {

struct Pair {
  Fd ours;
  Fd theirs;
};

// On the host; kNoId leaves what is made to this process.
struct Owner {
  unsigned uid;
  unsigned gid;
};
constexpr unsigned kNoId = 0xffffffff;

struct Stdio {
  Pair pairs[kMaxPassedFds];
  int theirs[kMaxPassedFds];  // what the launcher is given, borrowed
  unsigned count = 0;
};

// What mounts.h has; to be put in by the caller.
constexpr std::int32_t kEmptyMounts = -4;
constexpr std::int32_t kProc = -5;

Status open_stdio(Stdio& stdio, const std::int32_t* wanted, std::size_t count, Owner owner);

// A memfd with the plan.
Result<Fd> write_plan(const void* bytes, std::size_t size);

}  // namespace nsjs
