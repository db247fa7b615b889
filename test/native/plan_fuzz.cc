// Runs libFuzzer on the plan reader. An accepted plan is read completely, each argument according to its kind.
#include <cstdlib>
#include <cstring>

#include "../../src/plan/reader.h"

namespace {

constexpr const char* kKinds[] = {
#define OP(name, kinds) kinds,
#include "../../src/plan/ops.def"
#undef OP
};

std::uint64_t g_sum = 0;

void walk(const nsjs::Plan& plan, const nsjs::Op& op) {
  const char* kinds = kKinds[static_cast<unsigned>(op.code)];
  for (unsigned index = 0; kinds[index] != 0; ++index) {
    const std::uint32_t value = op.arg[index];
    if (kinds[index] == 'S' && value != nsjs::kNoSlot && value >= nsjs::kMaxSlots) std::abort();
    if (kinds[index] == 'O' && value >= nsjs::kMaxSlots) std::abort();
    if (kinds[index] != 'T') continue;
    const nsjs::Text text = plan.text(value);
    for (std::uint32_t at = 0; at <= text.size; ++at) g_sum += static_cast<unsigned char>(text.data[at]);
    if (text.data[text.size] != 0) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  // A buffer of the exact size, so that the sanitizer detects a read beyond it.
  auto* exact = static_cast<unsigned char*>(std::malloc(size == 0 ? 1 : size));
  std::memcpy(exact, data, size);
  nsjs::Plan plan;
  if (plan.parse(exact, size)) {
    for (unsigned section = 0; section < nsjs::kSections; ++section) {
      const nsjs::Ops ops = plan.ops(static_cast<nsjs::Section>(section));
      for (std::uint32_t step = 0; step < ops.count; ++step) walk(plan, ops.first[step]);
    }
  }
  std::free(exact);
  return 0;
}
