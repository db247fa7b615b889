// Starting the launcher from a multithreaded Node: clone(CLONE_VM | CLONE_VFORK) and exec, nothing between but raw calls.
#pragma once
#include "../plan/wire.h"
#include "../sys/fd.h"
#include "../sys/result.h"

namespace nsjs {

// Descriptors as the launcher expects them from kFirstFd on (wire.h); borrowed.
struct Passed {
  int fds[kMaxPassedFds + 4];
  unsigned count;
};

struct Keeper {
  int pid = 0;
  Fd pidfd;
};

// Executes `image` with an empty environment and the given descriptors. All signals are blocked in it.
Result<Keeper> spawn_keeper(int image, const Passed& passed);

}  // namespace nsjs
