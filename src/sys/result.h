// Propagates errno: a value and the system call that failed, without exceptions or allocation.
#pragma once
#include <cstdint>
#include <utility>

namespace nsjs {

struct Status {
  int err = 0;           // errno, 0 for success
  std::uint32_t nr = 0;  // number of the system call that failed

  [[nodiscard]] bool ok() const { return err == 0; }
};

template <class T>
struct Result {
  T value{};
  Status status{};

  [[nodiscard]] bool ok() const { return status.ok(); }
};

namespace sys {

constexpr long kMaxErrno = 4095;

inline Status to_status(long nr, long result) {
  if (result >= 0 || result < -kMaxErrno) return {};
  return {static_cast<int>(-result), static_cast<std::uint32_t>(nr)};
}

}  // namespace sys
}  // namespace nsjs

#define NSJS_TRY(expression)                                                                    \
  do {                                                                                          \
    if (const ::nsjs::Status nsjs_status = (expression); !nsjs_status.ok()) return nsjs_status; \
  } while (false)

// Declares `name` as the value of a Result, or returns its Status.
#define NSJS_TRY_VALUE(name, expression)                \
  auto name##_result = (expression);                    \
  if (!name##_result.ok()) return name##_result.status; \
  auto name = std::move(name##_result.value)
