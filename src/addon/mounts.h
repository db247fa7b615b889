// A mount namespace with nothing of the host in it: a read-only root, and a procfs of its own. Sandboxes that start from a copy of it have
// nothing to take away.
#pragma once
#include "../sys/fd.h"
#include "../sys/result.h"

namespace nsjs {

class EmptyMounts {
 public:
  // A descriptor of it; needs CAP_SYS_ADMIN over the mount namespace of this process.
  Result<int> open();

 private:
  Fd fd_;
  unsigned uses_ = 0;
};

}  // namespace nsjs
