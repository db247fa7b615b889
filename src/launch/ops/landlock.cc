#include <linux/errno.h>
#include "../../sys/landlock.h"

#include "../ops.h"

namespace nsjs::ops {
namespace {

constexpr std::uint64_t kRead = 1 << 2;             // READ_FILE
constexpr std::uint64_t kList = 1 << 3 | 1;         // READ_DIR, EXECUTE
constexpr std::uint64_t kWrite = 1 << 1 | 1 << 14;  // WRITE_FILE, TRUNCATE
constexpr unsigned long kNoMagicLinks = 0x02;
// READ_DIR, and REMOVE_DIR to REFER: rights of directories only. The kernel refuses a rule that grants them on a file.
constexpr std::uint64_t kDirectoryRights = 0x3ff8;

std::uint64_t wide(std::uint32_t low, std::uint32_t high) { return (static_cast<std::uint64_t>(high) << 32) | low; }

}  // namespace

Status LandlockRuleset(Context& context, const Op& op) {
  const Text attributes = context.plan.text(op.arg[1]);
  NSJS_TRY_VALUE(ruleset, sys::landlock_create_ruleset(attributes.data, attributes.size));
  context.slots[op.arg[0]].fd = std::move(ruleset);
  return {};
}

Status LandlockPath(Context& context, const Op& op) {
  const Text path = context.plan.text(op.arg[2]);
  Fd opened;
  if (path.size != 0) {
    NSJS_TRY_VALUE(found, sys::openat2(context.base(op.arg[1]), path.data, O_PATH, 0, kNoMagicLinks));
    opened = std::move(found);
  }
  const int target = path.size != 0 ? opened.get() : context.fd(op.arg[1]);
  NSJS_TRY_VALUE(is_directory, sys::is_directory(target));
  const std::uint64_t access = wide(op.arg[3], op.arg[4]) & (is_directory ? ~0ull : ~kDirectoryRights);
  if (access == 0) return {};
  const sys::PathBeneath rule{access, target};
  return sys::landlock_add_rule(context.fd(op.arg[0]), sys::kPathRule, &rule);
}

// Allows opening the file again through /dev/stdout and similar links. Files that Landlock does not restrict (pipes,
// sockets) need no rule; the kernel answers EBADFD for them.
Status LandlockFd(Context& context, const Op& op) {
  const int fd = static_cast<int>(op.arg[1]);
  NSJS_TRY_VALUE(flags, sys::fcntl(fd, F_GETFL, 0));
  NSJS_TRY_VALUE(is_directory, sys::is_directory(fd));
  const bool writes = (flags & O_ACCMODE) != O_RDONLY && !is_directory;
  const bool reads = (flags & O_ACCMODE) != O_WRONLY;
  const sys::PathBeneath rule{((reads ? kRead : 0) | (is_directory ? kList : 0) | (writes ? kWrite : 0)) & op.arg[2], fd};
  const Status status = sys::landlock_add_rule(context.fd(op.arg[0]), sys::kPathRule, &rule);
  return status.err == EBADFD ? Status{} : status;
}

Status LandlockPort(Context& context, const Op& op) {
  const sys::NetPort rule{op.arg[2], op.arg[1]};
  return sys::landlock_add_rule(context.fd(op.arg[0]), sys::kPortRule, &rule);
}

Status LandlockRestrict(Context& context, const Op& op) { return sys::landlock_restrict_self(context.fd(op.arg[0])); }

}  // namespace nsjs::ops
