#include "mounts.h"

#include <initializer_list>

#include "../sys/cred.h"
#include "../sys/mount.h"
#include "bind.h"
#include "session.h"
#include "stack.h"

namespace nsjs {
namespace {

// If the kernel refuses to create the namespace, sandboxes start from a copy of this process's mounts. The namespace
// and its procfs are replaced after this many uses: for each user namespace that wrote a limit below /proc/sys, the
// kernel keeps an entry in that procfs, and each later lookup searches them all.
constexpr unsigned kMaxUses = 64;

constexpr unsigned kSetString = 1;
constexpr unsigned kCreate = 6;
constexpr unsigned kAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr unsigned long kRecursivePrivate = 0x44000;  // MS_REC | MS_PRIVATE

struct Setting {
  const char* key;
  const char* value;
};

Result<Fd> make_fs(const char* type, std::initializer_list<Setting> settings) {
  auto fs = sys::fsopen(type);
  for (const auto& [key, value] : settings)
    if (fs.ok()) fs.status = sys::fsconfig(fs.value.get(), kSetString, key, value);
  if (fs.ok()) fs.status = sys::fsconfig(fs.value.get(), kCreate, nullptr, nullptr);
  if (!fs.ok()) return fs;
  return sys::fsmount(fs.value.get(), kAttributes);
}

struct Child {
  Fd mounts;
  Status status;
};

// Checks that the root of the namespace itself is the empty one: in a process in a chroot, pivot_root(2) changes only
// the mount that the process stands on. Enters the namespace here, as a launcher will do, to find a failure early.
Status enter(int mounts, int root) {
  NSJS_TRY(sys::setns(mounts, CLONE_NEWNS));
  NSJS_TRY(sys::chroot("."));
  NSJS_TRY_VALUE(top, sys::openat(sys::kCwd, "/", O_PATH | O_DIRECTORY));
  struct stat found {};
  struct stat wanted {};
  NSJS_TRY(sys::to_status(__NR_fstat, sys::raw(__NR_fstat, top.get(), sys::as_arg(&found))));
  NSJS_TRY(sys::to_status(__NR_fstat, sys::raw(__NR_fstat, root, sys::as_arg(&wanted))));
  return found.st_dev == wanted.st_dev ? Status{} : Status{EXDEV, __NR_pivot_root};
}

// In a mount namespace without a visible procfs the kernel refuses to mount another one. This procfs belongs to a pid
// namespace whose only process is about to exit.
Status mount_empty_proc(int root) {
  NSJS_TRY_VALUE(proc, make_fs("proc", {{"subset", "pid"}, {"hidepid", "invisible"}}));
  NSJS_TRY(sys::mkdirat(root, "proc", 0555));
  NSJS_TRY_VALUE(place, sys::openat(root, "proc", O_PATH | O_DIRECTORY));
  return sys::move_mount(proc.get(), place.get());
}

// DANGER: shares Node's memory and descriptors. Raw system calls only; no malloc, no lock, no errno.
Status make_mounts(Child& child) {
  NSJS_TRY(sys::unshare(CLONE_NEWNS));
  NSJS_TRY(sys::mount_propagation(kRecursivePrivate));
  NSJS_TRY_VALUE(own, sys::openat(sys::kCwd, "/proc/self/ns/mnt", O_RDONLY));
  NSJS_TRY_VALUE(root, make_fs("tmpfs", {{"mode", "555"}}));
  NSJS_TRY_VALUE(top, sys::openat(sys::kCwd, "/", O_PATH | O_DIRECTORY));
  NSJS_TRY(sys::move_mount(root.get(), top.get()));
  NSJS_TRY(mount_empty_proc(root.get()));
  NSJS_TRY(sys::mount_setattr(root.get(), 0, {MOUNT_ATTR_RDONLY, 0, 0, 0}));
  NSJS_TRY(sys::fchdir(root.get()));
  NSJS_TRY(sys::pivot_root(".", "."));
  NSJS_TRY(sys::fchdir(top.get()));
  Status status;
  do status = sys::umount2(".", sys::kMountDetach);
  while (status.ok());
  if (status.err != EINVAL) return status;
  NSJS_TRY(enter(own.get(), root.get()));
  child.mounts = std::move(own);
  return {};
}

int child_main(void* argument) {
  auto* child = static_cast<Child*>(argument);
  child->status = make_mounts(*child);
  sys::exit_group(0);
}

}  // namespace

Status EmptyMounts::make() {
  NSJS_TRY_VALUE(proc, make_fs("proc", {}));
  Child child{{}, {ECANCELED, __NR_clone}};
  NSJS_TRY(run_beside(child_main, &child, CLONE_NEWPID));
  NSJS_TRY(child.status);
  mounts_ = std::move(child.mounts);
  proc_ = std::move(proc);
  uses_ = 1;
  return {};
}

Status EmptyMounts::open() {
  if (mounts_.is_open() && uses_++ < kMaxUses) return {};
  const Status status = make();
  // An old namespace is better than none.
  return mounts_.is_open() ? Status{} : status;
}

Napi::Value empty_mounts(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), -Environment::of(info.Env()).mounts.open().err);
}

}  // namespace nsjs
