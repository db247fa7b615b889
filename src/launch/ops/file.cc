#include <initializer_list>
#include <linux/errno.h>

#include "../ops.h"
#include "../path.h"
#include "../run.h"
#include "../../sys/process.h"
#include "../../sys/socket.h"

namespace nsjs::ops {
namespace {

constexpr int kRemoveTries = 1000;
constexpr long kRemovePauseMs = 2;
constexpr int kRemoveDirectory = 0x200;  // AT_REMOVEDIR
constexpr unsigned char kDirectory = 4;  // DT_DIR

struct Entry {  // linux_dirent64
  std::uint64_t inode;
  std::int64_t next;
  unsigned short size;
  unsigned char type;
  char name[1];
};

// Removes the subdirectories of a cgroup. One that cannot be removed yet is tried again with the cgroup itself.
void remove_directories_in(const char* path) {
  const auto directory = sys::openat(sys::kCwd, path, O_RDONLY | O_DIRECTORY);
  if (!directory.ok()) return;
  alignas(Entry) char entries[2048] = {};
  for (;;) {
    const long size = sys::raw(__NR_getdents64, directory.value.get(), sys::as_arg(entries), sizeof entries);
    if (size <= 0) return;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const Entry*>(entries + at);
      if (entry->type == kDirectory && entry->name[0] != '.') (void)sys::unlinkat(directory.value.get(), entry->name, kRemoveDirectory);
      at += entry->size;
    }
  }
}

}  // namespace

Status Open(Context& context, const Op& op) {
  const int base = context.base(op.arg[1]);
  const char* path = context.plan.text(op.arg[2]).data;
  const int flags = static_cast<int>(op.arg[3]);
  NSJS_TRY_VALUE(opened, base == sys::kCwd ? sys::openat(base, path, flags) : sys::openat2(base, path, flags, 0, kInRoot));
  NSJS_TRY_VALUE(high, move_high(std::move(opened)));
  context.slots[op.arg[0]].fd = std::move(high);
  return {};
}

Status WriteFile(Context& context, const Op& op) {
  const Text data = context.plan.text(op.arg[2]);
  NSJS_TRY_VALUE(file, sys::openat(context.base(op.arg[0]), context.plan.text(op.arg[1]).data, O_WRONLY));
  return write_all(file.get(), data.data, data.size);
}

Status WriteFd(Context& context, const Op& op) {
  const Text data = context.plan.text(op.arg[1]);
  return write_all(context.fd(op.arg[0]), data.data, data.size);
}

Status MakeDir(Context& context, const Op& op) {
  const int base = context.base(op.arg[0]);
  const char* path = context.plan.text(op.arg[1]).data;
  if (base == sys::kCwd) return sys::mkdirat(base, path, op.arg[2]);
  NSJS_TRY_VALUE(parent, resolve_parent(base, path));
  const Status status = sys::mkdirat(parent.dir, parent.name, op.arg[2]);
  if (status.err != EEXIST) return status;
  return resolve(base, path, O_DIRECTORY).status;
}

// Without data the file is only a mount point, so an existing file is accepted.
Status MakeFile(Context& context, const Op& op) {
  const int base = context.base(op.arg[0]);
  const char* path = context.plan.text(op.arg[1]).data;
  const Text data = context.plan.text(op.arg[2]);
  NSJS_TRY_VALUE(parent, resolve_parent(base, path));
  auto file = sys::openat(parent.dir, parent.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, op.arg[3]);
  if (file.status.err == EEXIST && data.size == 0) return resolve(base, path, 0).status;
  NSJS_TRY(file.status);
  return write_all(file.value.get(), data.data, data.size);
}

Status Symlink(Context& context, const Op& op) {
  NSJS_TRY_VALUE(parent, resolve_parent(context.base(op.arg[0]), context.plan.text(op.arg[1]).data));
  return sys::symlinkat(context.plan.text(op.arg[2]).data, parent.dir, parent.name);
}

Status ReadFile(Context& context, const Op& op) {
  Record record{};
  char text[kTextPart];
  const auto step = static_cast<std::uint32_t>(&op - context.plan.ops(kAfter).first);
  Fd file;
  if (step < kMaxLastWords) file = std::move(context.last_words[step]);
  if (!file.is_open()) {
    NSJS_TRY_VALUE(opened, sys::openat(sys::kCwd, context.plan.text(op.arg[0]).data, O_RDONLY));
    file = std::move(opened);
  }
  NSJS_TRY_VALUE(size, sys::read(file.get(), text, sizeof text));
  record.kind = RecordKind::kText;
  record.section = kAfter;
  record.step = step;
  record.size = static_cast<std::int32_t>(size);
  return tell_last(record, text, static_cast<std::size_t>(size));
}

Status SendFile(Context& context, const Op& op) {
  const auto step = static_cast<std::uint32_t>(&op - context.plan.ops(kInside).first);
  return send_file(context, kInside, step, context.plan.text(op.arg[0]).data);
}

Status Verify(Context& context, const Op&) {
  context.verifies = true;
  return {};
}

Status OomEvent(Context& context, const Op& op) {
  NSJS_TRY_VALUE(memory, sys::openat(sys::kCwd, context.plan.text(op.arg[0]).data, O_RDONLY));
  NSJS_TRY_VALUE(control, sys::openat(sys::kCwd, context.plan.text(op.arg[1]).data, O_WRONLY));
  const long event = sys::raw(__NR_eventfd2, 0, O_CLOEXEC);
  NSJS_TRY(sys::to_status(__NR_eventfd2, event));
  NSJS_TRY_VALUE(high, move_high(Fd(static_cast<int>(event))));
  char first[12];
  char second[12];
  char line[sizeof first + sizeof second] = {};
  char* end = line;
  for (const char* part : {write_number(first, high.get()), " ", write_number(second, memory.get())})
    while (*part != 0) *end++ = *part++;
  NSJS_TRY(write_all(control.get(), line, static_cast<std::size_t>(end - line)));
  context.oom = std::move(high);
  NSJS_TRY_VALUE(kept, move_high(std::move(memory)));
  context.oom_control = std::move(kept);
  return {};
}

Status Clock(Context& context, const Op& op) {
  const auto take = [&context](std::uint32_t slot) { return slot == kNoSlot ? Fd() : std::move(context.slots[slot].fd); };
  context.clock = nsjs::Clock({op.arg[3], op.arg[4], op.arg[5]}, take(op.arg[0]), take(op.arg[1]), op.arg[2], op.arg[6]);
  return context.clock.runs() ? Status{} : Status{5, __NR_clock_gettime};  // EIO
}

Status ClockHold(Context& context, const Op&) {
  context.clock.hold();
  return {};
}

Status ClockQuota(Context& context, const Op& op) {
  context.clock.set_quota(std::move(context.slots[op.arg[0]].fd));
  return {};
}

Status RemoveDir(Context& context, const Op& op) {
  const char* path = context.plan.text(op.arg[0]).data;
  Status status;
  for (int tries = 0; tries < kRemoveTries; ++tries) {
    status = sys::unlinkat(sys::kCwd, path, kRemoveDirectory);
    if (status.err != EBUSY) break;
    remove_directories_in(path);
    (void)sys::ppoll(nullptr, 0, kRemovePauseMs);
  }
  return status;
}

}  // namespace nsjs::ops
