// Starting the launcher from a multithreaded Node: clone(CLONE_VM | CLONE_VFORK) and exec, nothing between but raw calls.
#pragma once
#include "../plan/wire.h"
#include "../sys/fd.h"
#include "../sys/result.h"
#include "../sys/socket.h"

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

// The way of descriptors into the child, opened when there are few others: the child copies the table of this process up to here, however
// many connections it has, and exec has no more to close.
class Door {
 public:
  // Opens it if it is not.
  Status open();
  // What was sent and not fetched must not come out at the next child. It stays open: later it would get a higher number.
  void clear();
  [[nodiscard]] int outside() const { return ends_[0].get(); }
  [[nodiscard]] int inside() const { return ends_[1].get(); }

 private:
  Fd ends_[2];
};

// Executes `image` with an empty environment and the given descriptors. All signals are blocked in it.
Result<Keeper> spawn_keeper(Door& door, int image, const Passed& passed);

}  // namespace nsjs
