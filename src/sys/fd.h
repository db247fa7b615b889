// A file descriptor with one owner. fd 0 is valid, so there is no conversion to bool.
#pragma once
#include <asm/unistd.h>

#include "raw.h"

namespace nsjs {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int number) : number_(number) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd(Fd&& other) noexcept : number_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = other.release();
    }
    return *this;
  }
  ~Fd() { reset(); }
  explicit operator bool() const = delete;

  [[nodiscard]] int get() const { return number_; }
  [[nodiscard]] bool is_open() const { return number_ >= 0; }
  int release() {
    const int number = number_;
    number_ = -1;
    return number;
  }
  void reset() {
    if (number_ >= 0) sys::raw(__NR_close, release());
  }

 private:
  int number_ = -1;
};

}  // namespace nsjs
