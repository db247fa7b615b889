// Limits of time. The process that waits for the programs runs the clock, so neither Node nor a program can stop it.
#pragma once
#include <utility>

#include "../plan/wire.h"
#include "../sys/fd.h"

namespace nsjs {

// In ms; 0 means no limit.
struct TimeLimits {
  std::uint64_t wall = 0;
  std::uint64_t cpu = 0;
  std::uint64_t idle = 0;
};

class Clock {
 public:
  Clock() = default;
  // `usage`: a file of the cgroup whose first number is the CPU time of all its processes; `unit` of that number are
  // one ms. The CPU time can grow by at most `cpus` ms per ms.
  Clock(const TimeLimits& limits, Fd usage, Fd kill, std::uint64_t unit, unsigned cpus);

  // Starts counting from now on.
  void start();
  // Stops the clock until start() is called.
  void hold() { next_ = 0; }
  // False if the kernel reports no time.
  [[nodiscard]] bool runs() const { return start_ != 0; }
  // Time in ms until is_over() must be called again, -1 for never.
  [[nodiscard]] long wait() const { return next_ == 0 ? -1 : static_cast<long>(next_ - at_); }
  // Checks the limits. Returns true once, when a limit is exceeded; cause() then returns which.
  bool is_over();
  [[nodiscard]] Cause cause() const { return cause_; }
  // The file of the CPU quota. The quota is lifted before a kill, since processes need CPU time to die.
  void set_quota(Fd quota) { quota_ = std::move(quota); }
  // Kills all processes of the cgroup, if it has a cgroup.kill file.
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
  std::uint64_t base_ = 0;    // CPU time used at the start
  std::uint64_t at_ = 0;      // time of the last check
  std::uint64_t next_ = 0;    // time of the next check, 0 for never
  std::uint64_t seen_ = 0;    // CPU time at the last activity
  std::uint64_t active_ = 0;  // time of the last activity
  Cause cause_ = Cause::kNone;
};

}  // namespace nsjs
