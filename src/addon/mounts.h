// A mount namespace that holds only a read-only root and a procfs that shows no process, and a procfs of this process's
// pid namespace that is mounted nowhere. Sandboxes start from a copy of the namespace, so there are no mounts of the
// host to detach; their init uses the procfs.
#pragma once
#include "../sys/fd.h"
#include "../sys/result.h"

namespace nsjs {

class EmptyMounts {
 public:
  // Makes both if they do not exist. Needs CAP_SYS_ADMIN and CAP_SYS_CHROOT, and a process that is not chrooted.
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
