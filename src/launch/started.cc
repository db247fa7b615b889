#include "started.h"

#include <initializer_list>

#include "../sys/process.h"
#include "../sys/socket.h"
#include "context.h"
#include "path.h"
#include "programs.h"
#include "run.h"

namespace nsjs {
namespace {

constexpr unsigned kProcPrefix = sizeof "/proc/" - 1;

// The number that the host's /proc shows a process by; 0 if it can't be had.
int host_pid(const Context& context, int pidfd) {
  static constexpr char kFolder[] = "self/fdinfo/";
  static constexpr char kName[] = "\nPid:";
  char path[sizeof kFolder + 12] = {};
  char digits[12];
  char* end = path;
  for (const char* part : {kFolder, write_number(digits, pidfd)})
    while (*part != 0) *end++ = *part++;
  char text[512] = {};
  const auto file = sys::openat(context.proc.get(), path, O_RDONLY);
  if (!file.ok() || !sys::read(file.value.get(), text, sizeof text - 1).ok()) return 0;
  for (const char* at = text; *at != 0; ++at) {
    unsigned same = 0;
    while (kName[same] != 0 && at[same] == kName[same]) ++same;
    if (kName[same] != 0) continue;
    int number = 0;
    for (at += same; *at == '\t' || (*at >= '0' && *at <= '9'); ++at)
      if (*at != '\t') number = number * 10 + (*at - '0');
    return number;
  }
  return 0;
}

// Before it is said to have started, and before it is reaped. What can't be read Node misses, and says so.
void send_facts(Context& context, const Program& program) {
  const std::uint32_t before = context.program;
  context.program = program.id;
  const int pid = host_pid(context, program.pidfd.get());
  std::uint32_t step = 0;
  for (const char* name : {"status", "uid_map", "gid_map"})
    (void)send_file(context, kProgram, step++, ProcPath(pid, name).text + kProcPrefix);
  context.program = before;
}

}  // namespace

void send_started(Context& context, Program& program) {
  Record record = program.ready;
  record.kind = RecordKind::kStarted;
  record.status = program.pid;
  record.program = program.id;
  for (unsigned index = 0; index < kNamespaces; ++index)
    if (record.id[index] == 0) record.id[index] = context.id[index];
  sys::Beside beside;
  beside.pid = context.owns_pids ? program.pid : 0;
  if (context.verifies) send_facts(context, program);
  if (!sys::send(context.out, &record, sizeof record, beside).ok()) sys::exit_group(1);
}

}  // namespace nsjs
