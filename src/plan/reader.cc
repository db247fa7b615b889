#include "reader.h"

namespace nsjs {
namespace {

constexpr const char* kKinds[] = {
#define OP(name, kinds) kinds,
#include "ops.def"
#undef OP
};

constexpr std::uint32_t kMaxPlan = 64u << 20;

bool valid_argument(char kind, std::uint32_t value) {
  if (kind == 'S') return value < kMaxSlots || value == kNoSlot;
  return kind != 'O' || value < kMaxSlots;
}

}  // namespace

bool Plan::parse(const unsigned char* bytes, std::size_t size) {
  if (size < sizeof(Header) || size > kMaxPlan || reinterpret_cast<std::uintptr_t>(bytes) % alignof(Header) != 0) return false;
  header_ = reinterpret_cast<const Header*>(bytes);
  if (header_->magic != kMagic || header_->size != size || header_->fds > kMaxPassedFds) return false;

  std::uint64_t total = 0;
  for (const std::uint32_t count : header_->count) total += count;
  if (header_->text > size || sizeof(Header) + total * sizeof(Op) != header_->text) return false;

  for (std::uint64_t index = 0; index < total; ++index)
    if (!valid_op(all_ops()[index])) return false;
  return true;
}

bool Plan::valid_op(const Op& op) const {
  if (op.code >= OpCode::kCount) return false;
  const char* kinds = kKinds[static_cast<unsigned>(op.code)];
  for (unsigned index = 0; kinds[index] != 0; ++index) {
    const std::uint32_t value = op.arg[index];
    if (kinds[index] == 'T' ? !valid_text(value) : !valid_argument(kinds[index], value)) return false;
  }
  return true;
}

bool Plan::valid_text(std::uint32_t offset) const {
  const std::uint64_t start = offset;
  if (start % 4 != 0 || start < header_->text || start + 4 > header_->size) return false;
  const Text found = text(offset);
  return start + 4 + found.size < header_->size && found.data[found.size] == 0;
}

Ops Plan::ops(Section section) const {
  const Op* first = all_ops();
  for (unsigned before = 0; before < section; ++before) first += header_->count[before];
  return {first, header_->count[section]};
}

Text Plan::text(std::uint32_t offset) const {
  const auto* at = reinterpret_cast<const unsigned char*>(header_) + offset;
  return {reinterpret_cast<const char*>(at + 4), *reinterpret_cast<const std::uint32_t*>(at)};
}

}  // namespace nsjs
