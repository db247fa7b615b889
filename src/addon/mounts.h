// A mount namespace with nothing in it but a read-only root and a procfs that shows nobody: sandboxes that start from a copy of it have
// nothing to take away. And a procfs of this process's pid namespace that is mounted nowhere, for their init.
#pragma once
#include "../sys/fd.h"
#include "../sys/result.h"

namespace nsjs {

class EmptyMounts {
 public:
  // Makes them if they are not there. Needs CAP_SYS_ADMIN and CAP_SYS_CHROOT, and a process that is not chrooted.
  Status open();
  [[nodiscard]] int mounts() const { return mounts_.get(); }
  [[nodiscard]] int proc() const { return proc_.get(); }

 private:
  Status make();

  Fd mounts_;
  Fd proc_;
  unsigned uses_ = 0;
};

}  // namespace nsjs
