#include "map.h"

#include <sys/mman.h>

#include "../sys/file.h"

namespace nsjs {

Status map_plan(int fd, Plan& plan) {
  const long size = sys::raw(__NR_lseek, fd, 0, 2 /* SEEK_END */);
  NSJS_TRY(sys::to_status(__NR_lseek, size));
  const long at = sys::raw(__NR_mmap, 0, size, PROT_READ, MAP_PRIVATE, fd, 0);
  NSJS_TRY(sys::to_status(__NR_mmap, at));
  return plan.parse(reinterpret_cast<const unsigned char*>(at), static_cast<std::size_t>(size)) ? Status{} : Status{22, __NR_mmap};
}

void unmap_plan(const Plan& plan) { (void)sys::raw(__NR_munmap, sys::as_arg(plan.data()), static_cast<long>(plan.size())); }

}  // namespace nsjs
