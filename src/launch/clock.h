// Limits of time: whoever waits for the processes holds the clock, so nothing that Node or a program does can stop it.
#pragma once
#include <utility>

#include "../plan/wire.h"
#include "../sys/fd.h"

namespace nsjs {

// In ms; 0 is none.
struct TimeLimits {
  std::uint64_t wall = 0;
  std::uint64_t cpu = 0;
  std::uint64_t idle = 0;
};

class Clock {
 public:
  Clock() = default;
  // `usage`: a file of the cgroup whose first number is the CPU time of all in it, `unit` of which are a ms. It can
  // grow by `cpus` ms in one ms at most.
  Clock(const TimeLimits& limits, Fd usage, Fd kill, std::uint64_t unit, unsigned cpus);

  // Counts from now on.
  void start();
  // Counts nothing until it is started.
  void hold() { next_ = 0; }
  // False if there is no time to count from.
  [[nodiscard]] bool runs() const { return start_ != 0; }
  // ms until it wants to be looked at again, -1 for never.
  [[nodiscard]] long wait() const { return next_ == 0 ? -1 : static_cast<long>(next_ - at_); }
  // Looks. True once, when a limit is over: cause() says which.
  bool is_over();
  [[nodiscard]] Cause cause() const { return cause_; }
  // The file of a quota of CPU time: lifted before anything is killed, since the dying need CPU time too.
  void set_quota(Fd quota) { quota_ = std::move(quota); }
  // Kills everything in the group, where there is one that can be killed as a whole.
  void kill_group() const;

 private:
  [[nodiscard]] std::uint64_t used() const;
  Cause look();

  TimeLimits limits_;
  Fd usage_;
  Fd kill_;
  Fd quota_;
  std::uint64_t unit_ = 1;
  unsigned cpus_ = 1;
  std::uint64_t start_ = 0;
  std::uint64_t base_ = 0;    // CPU time that was used by then
  std::uint64_t at_ = 0;      // when it was last looked at
  std::uint64_t next_ = 0;    // when to look again, 0 for never
  std::uint64_t seen_ = 0;    // CPU time when something was last done
  std::uint64_t active_ = 0;  // and when that was
  Cause cause_ = Cause::kNone;
};

}  // namespace nsjs
