#include "clock.h"

#include <time.h>

#include "../sys/file.h"
#include "../sys/process.h"

namespace nsjs {
namespace {

constexpr std::uint64_t kForever = ~0ull;
constexpr std::uint64_t kLooks = 4;      // checks during an idle limit
constexpr std::uint64_t kStirredMs = 1;  // less CPU time than this counts as idle

// Returns 0 if the kernel reports no time.
std::uint64_t now() {
  timespec time{};
  (void)sys::raw(__NR_clock_gettime, CLOCK_MONOTONIC, sys::as_arg(&time));
  return static_cast<std::uint64_t>(time.tv_sec) * 1000 + static_cast<std::uint64_t>(time.tv_nsec) / 1000000;
}

std::uint64_t smaller(std::uint64_t one, std::uint64_t other) { return one < other ? one : other; }

}  // namespace

Clock::Clock(const TimeLimits& limits, Fd usage, Fd kill, std::uint64_t unit, unsigned cpus)
    : limits_(limits), usage_(std::move(usage)), kill_(std::move(kill)), unit_(unit == 0 ? 1 : unit), cpus_(cpus == 0 ? 1 : cpus) {
  start();
}

void Clock::start() {
  start_ = at_ = active_ = now();
  base_ = seen_ = 0;
  base_ = used();
  if (start_ != 0) (void)look();
}

std::uint64_t Clock::used() const {
  char text[64] = {};
  if (sys::raw(__NR_pread64, usage_.get(), sys::as_arg(text), sizeof text - 1, 0) <= 0) return seen_ + base_;
  const char* at = text;
  while (*at != 0 && (*at < '0' || *at > '9')) ++at;
  std::uint64_t number = 0;
  for (; *at >= '0' && *at <= '9'; ++at) number = number * 10 + static_cast<std::uint64_t>(*at - '0');
  return number / unit_;
}

Cause Clock::look() {
  // Never let the time go back.
  if (const std::uint64_t time = now(); time > at_) at_ = time;
  std::uint64_t next = kForever;
  if (limits_.wall != 0) {
    if (at_ - start_ >= limits_.wall) return Cause::kWallTime;
    next = start_ + limits_.wall;
  }
  const std::uint64_t used = limits_.cpu != 0 || limits_.idle != 0 ? this->used() - base_ : 0;
  if (limits_.cpu != 0) {
    if (used >= limits_.cpu) return Cause::kCpuTime;
    next = smaller(next, at_ + (limits_.cpu - used) / cpus_ + 1);
  }
  if (limits_.idle != 0) {
    if (used >= seen_ + kStirredMs) {
      seen_ = used;
      active_ = at_;
    }
    if (at_ - active_ >= limits_.idle) return Cause::kIdle;
    next = smaller(next, at_ + limits_.idle / kLooks + 1);
  }
  next_ = next == kForever ? 0 : next;
  return Cause::kNone;
}

bool Clock::is_over() {
  if (next_ == 0 || cause_ != Cause::kNone) return false;
  cause_ = look();
  if (cause_ == Cause::kNone) return false;
  next_ = 0;
  return true;
}

void Clock::kill_group() const {
  if (quota_.is_open()) {
    // cgroup version 2 accepts "max", version 1 accepts "-1".
    (void)sys::write(quota_.get(), "max", 3);
    (void)sys::write(quota_.get(), "-1", 2);
  }
  static constexpr char kOne = '1';
  if (kill_.is_open()) (void)sys::write(kill_.get(), &kOne, 1);
}

}  // namespace nsjs
