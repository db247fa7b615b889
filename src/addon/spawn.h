// Starts the launcher from a multithreaded Node: clone(CLONE_VM | CLONE_VFORK) and exec, with only raw system calls in
// between.
#pragma once
#include "../plan/wire.h"
#include "../sys/fd.h"
#include "../sys/result.h"
#include "../sys/socket.h"

namespace nsjs {

// Descriptors in the order in which the launcher expects them, from kFirstFd on (wire.h). Not owned.
struct Passed {
  int fds[kMaxPassedFds + 4];
  unsigned count;
};

struct Keeper {
  int pid = 0;
  Fd pidfd;
};

// The socket pair that carries descriptors into the child. It is opened early, while its numbers are low: the child
// copies the descriptor table of this process only up to there, however many connections the process has, and exec has
// no more descriptors to close.
class Door {
 public:
  // Opens the pair if it is not open.
  Status open();
  // Discards messages that were sent but not received, so that the next child does not receive them. The pair stays
  // open: if opened later, it would get higher numbers.
  void clear();
  [[nodiscard]] int outside() const { return ends_[0].get(); }
  [[nodiscard]] int inside() const { return ends_[1].get(); }

 private:
  Fd ends_[2];
};

// Executes `image` with an empty environment and the given descriptors. All signals are blocked in the new process.
Result<Keeper> spawn_keeper(Door& door, int image, const Passed& passed);

}  // namespace nsjs
