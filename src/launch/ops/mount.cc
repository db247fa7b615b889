#include "../../sys/mount.h"

#include <initializer_list>
#include <linux/errno.h>

#include "../ops.h"
#include "../path.h"

namespace nsjs::ops {
namespace {

constexpr unsigned kMaxLayers = 100;
constexpr unsigned kFdPathSize = 40;
constexpr unsigned kSetString = 1;             // FSCONFIG_SET_STRING
constexpr unsigned kSetFlag = 0;               // FSCONFIG_SET_FLAG
constexpr unsigned kCreate = 6;                // FSCONFIG_CMD_CREATE
constexpr unsigned kNoLinks = 0x40000000;      // flag of OpenTree, see ops.def
constexpr unsigned long kNoSymlinks = 0x04;    // RESOLVE_NO_SYMLINKS
constexpr unsigned kCloneTree = 0x1 | 0x8000;  // OPEN_TREE_CLONE | AT_RECURSIVE
constexpr unsigned kReadonly = 1;              // MOUNT_ATTR_RDONLY
constexpr unsigned kNosuid = 2;                // MOUNT_ATTR_NOSUID
constexpr unsigned kNodev = 4;                 // MOUNT_ATTR_NODEV
constexpr std::uint64_t kIdMap = 0x00100000;   // MOUNT_ATTR_IDMAP

// Writes "/proc/self/fd/<fd><rest>" and returns a pointer to its end.
char* append_fd(char* to, int fd, const char* rest) {
  char digits[12];
  for (const char* part : {"/proc/self/fd/", write_number(digits, fd), rest})
    while (*part != 0) *to++ = *part++;
  *to = 0;
  return to;
}

// An empty value makes the key a flag.
Status configure(int fs, Text options) {
  for (const char* at = options.data; at < options.data + options.size;) {
    const char* key = at;
    const char* value = after(key);
    at = after(value);
    NSJS_TRY(*value == 0 ? sys::fsconfig(fs, kSetFlag, key, nullptr) : sys::fsconfig(fs, kSetString, key, value));
  }
  return sys::fsconfig(fs, kCreate, nullptr, nullptr);
}

Result<Fd> empty_directory() {
  static constexpr char kOptions[] =
      "nr_inodes\0"
      "2\0"
      "mode\0"
      "555\0";
  auto fs = sys::fsopen("tmpfs");
  if (!fs.ok()) return fs;
  if (const Status status = configure(fs.value.get(), {kOptions, sizeof kOptions - 1}); !status.ok()) return {Fd(), status};
  return sys::fsmount(fs.value.get(), kReadonly | kNosuid | kNodev);
}

}  // namespace

Status Mask(Context& context, const Op& op) {
  NSJS_TRY_VALUE(target, resolve(context.base(op.arg[0]), context.plan.text(op.arg[1]).data, 0));
  NSJS_TRY_VALUE(is_directory, sys::is_directory(target.get()));
  NSJS_TRY_VALUE(cover, is_directory ? empty_directory() : sys::open_tree(sys::kCwd, "/dev/null", 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC));
  return sys::move_mount(cover.get(), target.get());
}

// rename(2) and rmdir(2) of a mount point fail with EBUSY.
Status Pin(Context& context, const Op& op) {
  NSJS_TRY_VALUE(target, resolve(context.base(op.arg[0]), context.plan.text(op.arg[1]).data, 0));
  NSJS_TRY_VALUE(copy, sys::open_tree(target.get(), "", kCloneTree | O_CLOEXEC | sys::kAtEmptyPath));
  return sys::move_mount(copy.get(), target.get());
}

Status Propagation(Context&, const Op& op) { return sys::mount_propagation(op.arg[0]); }

Status OpenTree(Context& context, const Op& op) {
  const int base = context.base(op.arg[1]);
  const char* path = context.plan.text(op.arg[2]).data;
  const unsigned flags = op.arg[3] & ~kNoLinks;
  if (base == sys::kCwd && flags == op.arg[3]) {
    NSJS_TRY_VALUE(tree, sys::open_tree(base, path, flags | O_CLOEXEC));
    context.slots[op.arg[0]].fd = std::move(tree);
    return {};
  }
  NSJS_TRY_VALUE(source, base == sys::kCwd ? sys::openat2(base, path, O_PATH, 0, kNoSymlinks) : resolve(base, path, 0));
  NSJS_TRY_VALUE(tree, sys::open_tree(source.get(), "", flags | O_CLOEXEC | sys::kAtEmptyPath));
  context.slots[op.arg[0]].fd = std::move(tree);
  return {};
}

Status NewFs(Context& context, const Op& op) {
  NSJS_TRY_VALUE(fs, sys::fsopen(context.plan.text(op.arg[1]).data));
  NSJS_TRY(configure(fs.get(), context.plan.text(op.arg[2])));
  NSJS_TRY_VALUE(tree, sys::fsmount(fs.get(), op.arg[3]));
  NSJS_TRY_VALUE(high, move_high(std::move(tree)));
  context.slots[op.arg[0]].fd = std::move(high);
  return {};
}

// Layers are named by descriptors of this process: other processes may change the directories that a path leads
// through.
Status Overlay(Context& context, const Op& op) {
  const Text layers = context.plan.text(op.arg[1]);
  const auto* slots = reinterpret_cast<const std::uint32_t*>(layers.data);
  char lower[kMaxLayers * kFdPathSize];
  char* end = lower;
  for (unsigned index = 0; index < layers.size / sizeof *slots; ++index) {
    if (index == kMaxLayers || slots[index] >= kMaxSlots) return {EINVAL, __NR_fsconfig};
    if (index != 0) *end++ = ':';
    end = append_fd(end, context.fd(slots[index]), "");
  }
  char upper[kFdPathSize];
  char work[kFdPathSize];
  append_fd(upper, context.fd(op.arg[2]), "/upper");
  append_fd(work, context.fd(op.arg[2]), "/work");
  NSJS_TRY_VALUE(fs, sys::fsopen("overlay"));
  NSJS_TRY(sys::fsconfig(fs.get(), kSetString, "lowerdir", lower));
  NSJS_TRY(sys::fsconfig(fs.get(), kSetString, "upperdir", upper));
  NSJS_TRY(sys::fsconfig(fs.get(), kSetString, "workdir", work));
  NSJS_TRY(sys::fsconfig(fs.get(), kSetFlag, "userxattr", nullptr));
  NSJS_TRY(sys::fsconfig(fs.get(), kCreate, nullptr, nullptr));
  NSJS_TRY_VALUE(tree, sys::fsmount(fs.get(), op.arg[3]));
  context.slots[op.arg[0]].fd = std::move(tree);
  return {};
}

Status SetAttr(Context& context, const Op& op) {
  mount_attr attributes{};
  attributes.attr_set = op.arg[1];
  attributes.attr_clr = op.arg[2];
  attributes.propagation = op.arg[4];
  if (op.arg[5] != kNoSlot) {
    attributes.attr_set |= kIdMap;
    attributes.userns_fd = static_cast<std::uint64_t>(context.fd(op.arg[5]));
  }
  return sys::mount_setattr(context.fd(op.arg[0]), op.arg[3], attributes);
}

Status MoveMount(Context& context, const Op& op) {
  NSJS_TRY_VALUE(target, resolve(context.base(op.arg[1]), context.plan.text(op.arg[2]).data, 0));
  NSJS_TRY(sys::move_mount(context.fd(op.arg[0]), target.get()));
  return {};
}

// The old root is stacked on top of the new one and detached there, so no directory is needed for it.
Status PivotRoot(Context& context, const Op& op) {
  NSJS_TRY_VALUE(old_root, sys::openat(sys::kCwd, "/", O_PATH | O_DIRECTORY));
  NSJS_TRY(sys::fchdir(context.fd(op.arg[0])));
  NSJS_TRY(sys::pivot_root(".", "."));
  NSJS_TRY(sys::fchdir(old_root.get()));
  // Detaches the mounts that are stacked on the old root, one at a time; then the directory is on no mount of this
  // namespace.
  Status status;
  do status = sys::umount2(".", sys::kMountDetach);
  while (status.ok());
  if (status.err != EINVAL) return status;
  return sys::chdir("/");
}

// In a mount namespace that had only an empty root, makes the mount over that root the root. "/.." resolves to the
// mount on top.
Status EnterRoot(Context&, const Op&) {
  NSJS_TRY(sys::chroot("/.."));
  return sys::chdir("/");
}

}  // namespace nsjs::ops
