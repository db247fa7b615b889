#include "run.h"

#include "../sys/process.h"
#include "../sys/socket.h"
#include "ops.h"

namespace nsjs {
namespace {

Status apply(Context& context, const Op& op) {
  switch (op.code) {
#define OP(name, kinds) \
  case OpCode::name:    \
    return ops::name(context, op);
#include "../plan/ops.def"
#undef OP
    case OpCode::kCount:
      break;
  }
  return {22, 0};  // EINVAL; the reader rejects such a code
}

Failure walk(Context& context, Section section, bool stop) {
  const Ops ops = context.plan.ops(section);
  Failure first;
  for (std::uint32_t step = 0; step < ops.count; ++step) {
    const Status status = apply(context, ops.first[step]);
    if (status.ok()) continue;
    if (ops.first[step].optional != 0) {
      report(context, section, {step, status}, RecordKind::kDropped);
      step += ops.first[step].optional - 1;
      continue;
    }
    if (first.status.ok()) first = {step, status};
    if (stop) break;
  }
  return first;
}

}  // namespace

Failure run(Context& context, Section section) { return walk(context, section, true); }
Failure run_all(Context& context, Section section) { return walk(context, section, false); }

Status send_file(const Context& context, Section section, std::uint32_t step, const char* path) {
  struct {
    Record record;
    char text[kTextPart];
  } message{};
  message.record.kind = RecordKind::kText;
  message.record.section = section;
  message.record.step = step;
  message.record.program = context.program;
  NSJS_TRY_VALUE(file, sys::openat(context.proc.get(), path, O_RDONLY));
  for (;;) {
    NSJS_TRY_VALUE(size, sys::read(file.get(), message.text, sizeof message.text));
    if (size == 0) return {};
    message.record.size = static_cast<std::int32_t>(size);
    NSJS_TRY(sys::write(context.out, &message, sizeof message.record + static_cast<std::size_t>(size)).status);
  }
}

namespace {

alignas(Record) unsigned char g_last[kMaxMessage];
std::size_t g_last_size = 0;

}  // namespace

Status send_last() {
  const auto sent = sys::write(kControlFd, g_last, g_last_size);
  g_last_size = 0;
  return sent.status;
}

Status tell_last(const Record& record, const char* text, std::size_t size) {
  const std::size_t needed = (sizeof record + size + alignof(Record) - 1) & ~(alignof(Record) - 1);
  if (g_last_size + needed > sizeof g_last) NSJS_TRY(send_last());
  auto* to = g_last + g_last_size;
  __builtin_memcpy(to, &record, sizeof record);
  if (size > 0) __builtin_memcpy(to + sizeof record, text, size);
  g_last_size += needed;
  return {};
}

void tell_usage(Record& record, const struct rusage& usage) {
  const auto wide = [](long value) { return static_cast<std::uint64_t>(value); };
  record.user_us = sys::microseconds(usage.ru_utime);
  record.system_us = sys::microseconds(usage.ru_stime);
  record.max_rss_kb = wide(usage.ru_maxrss);
  record.faults[0] = wide(usage.ru_minflt);
  record.faults[1] = wide(usage.ru_majflt);
  record.blocks[0] = wide(usage.ru_inblock);
  record.blocks[1] = wide(usage.ru_oublock);
  record.switches[0] = wide(usage.ru_nvcsw);
  record.switches[1] = wide(usage.ru_nivcsw);
}

void report(const Context& context, Section section, const Failure& failure, RecordKind kind) {
  Record record{};
  record.kind = kind;
  record.section = section;
  record.step = failure.step;
  record.err = failure.status.err;
  record.nr = failure.status.nr;
  record.program = context.program;
  (void)sys::write(context.out, &record, sizeof record);
}

}  // namespace nsjs
