// A bounds-checked view of a plan. parse() checks everything once; operations then read without further checks.
#pragma once
#include <cstddef>

#include "../sys/result.h"
#include "wire.h"

namespace nsjs {

struct Text {
  const char* data;  // NUL-terminated
  std::uint32_t size;
};

struct Ops {
  const Op* first;
  std::uint32_t count;
};

class Plan {
 public:
  // False if any operation, slot or text lies outside the plan.
  bool parse(const unsigned char* bytes, std::size_t size);

  [[nodiscard]] Ops ops(Section section) const;
  [[nodiscard]] Text text(std::uint32_t offset) const;
  [[nodiscard]] unsigned fds() const { return header_->fds; }
  [[nodiscard]] const void* data() const { return header_; }
  [[nodiscard]] std::size_t size() const { return header_->size; }

 private:
  [[nodiscard]] bool valid_op(const Op& op) const;
  [[nodiscard]] bool valid_text(std::uint32_t offset) const;
  [[nodiscard]] const Op* all_ops() const { return reinterpret_cast<const Op*>(header_ + 1); }

  const Header* header_ = nullptr;
};

}  // namespace nsjs
