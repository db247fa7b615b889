#include "mounts.h"

#include "../sys/cred.h"
#include "../sys/mount.h"
#include "bind.h"
#include "session.h"
#include "stack.h"
#include "values.h"

namespace nsjs {
namespace {

// Where the kernel refuses it sandboxes start from a copy of this process's mounts. In its procfs the kernel keeps, for each user namespace
// that wrote a limit there, what it looks through for the next one.
constexpr unsigned kMaxUses = 64;

constexpr unsigned kSetFlag = 0;
constexpr unsigned kSetString = 1;
constexpr unsigned kCreate = 6;
constexpr unsigned kAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr unsigned long kRecursivePrivate = 0x44000;  // MS_REC | MS_PRIVATE

Result<Fd> make_fs(const char* type, const char* key, const char* value) {
  auto fs = sys::fsopen(type);
  if (fs.ok()) fs.status = key == nullptr ? Status{} : sys::fsconfig(fs.value.get(), kSetString, key, value);
  if (fs.ok()) fs.status = sys::fsconfig(fs.value.get(), kCreate, nullptr, nullptr);
  if (!fs.ok()) return fs;
  return sys::fsmount(fs.value.get(), kAttributes);
}

// DANGER: shares Node's memory and descriptors. Raw system calls only; no malloc, no lock, no errno.
Status make_mounts(Fd& result) {
  NSJS_TRY(sys::unshare(CLONE_NEWNS));
  NSJS_TRY(sys::mount_propagation(kRecursivePrivate));
  NSJS_TRY_VALUE(own, sys::openat(sys::kCwd, "/proc/self/ns/mnt", O_RDONLY));
  NSJS_TRY_VALUE(proc, make_fs("proc", nullptr, nullptr));
  NSJS_TRY_VALUE(root, make_fs("tmpfs", "mode", "555"));
  NSJS_TRY_VALUE(top, sys::openat(sys::kCwd, "/", O_PATH | O_DIRECTORY));
  NSJS_TRY(sys::move_mount(root.get(), top.get()));
  NSJS_TRY(sys::mkdirat(root.get(), "proc", 0555));
  NSJS_TRY_VALUE(place, sys::openat(root.get(), "proc", O_PATH | O_DIRECTORY));
  NSJS_TRY(sys::move_mount(proc.get(), place.get()));
  NSJS_TRY(sys::mount_setattr(root.get(), 0, {MOUNT_ATTR_RDONLY, 0, 0, 0}));
  NSJS_TRY(sys::fchdir(root.get()));
  NSJS_TRY(sys::pivot_root(".", "."));
  NSJS_TRY(sys::fchdir(top.get()));
  Status status;
  do status = sys::umount2(".", sys::kMountDetach);
  while (status.ok());
  if (status.err != EINVAL) return status;
  result = std::move(own);
  return {};
}

struct Child {
  Fd mounts;
  Status status;
};

int child_main(void* argument) {
  auto* child = static_cast<Child*>(argument);
  child->status = make_mounts(child->mounts);
  sys::exit_group(0);
}

}  // namespace

Result<int> EmptyMounts::open() {
  if (fd_.is_open() && uses_++ < kMaxUses) return {fd_.get(), {}};
  Child child{};
  const Status status = run_beside(child_main, &child, 0);
  // One that is used too often is better than none.
  if (!status.ok() || !child.status.ok()) return {fd_.get(), fd_.is_open() ? Status{} : status.ok() ? child.status : status};
  fd_ = std::move(child.mounts);
  uses_ = 1;
  return {fd_.get(), {}};
}

napi_value empty_mounts(napi_env env, napi_callback_info) { return number(env, -Environment::of(env).mounts.open().status.err); }

}  // namespace nsjs
