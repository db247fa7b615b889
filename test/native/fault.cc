// Linked into a test build of the launcher: in one process (0 keeper, 1 init, 2 the program's child) the n-th system
// call fails with EIO, which none of the calls returns by itself. The test writes `role` and `nth` into the binary.
#include <asm/unistd.h>

#include <cstdint>

#include "../../src/sys/raw.h"

namespace nsjs::sys {
namespace {

struct {
  char marker[8];
  std::uint32_t role;
  std::uint32_t nth;
} volatile plan = {{'N', 'S', 'J', 'S', 'F', 'L', 'T', '1'}, 99, 0};

std::uint32_t role = 0;
std::uint32_t calls = 0;

}  // namespace

long raw(long nr, long a, long b, long c, long d, long e, long f) {
  if (role == plan.role && ++calls == plan.nth) return -5;
  const long result = kernel(nr, a, b, c, d, e, f);
  if (nr == __NR_clone3 && result == 0) {
    ++role;
    calls = 0;
  }
  return result;
}

}  // namespace nsjs::sys
