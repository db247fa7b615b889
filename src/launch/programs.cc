#include "programs.h"

#include <initializer_list>
#include <linux/errno.h>

#include "../sys/process.h"
#include "../sys/socket.h"
#include "context.h"
#include "path.h"
#include "run.h"

namespace nsjs {

constinit Programs g_programs;

namespace {

constexpr unsigned kProcPrefix = sizeof "/proc/" - 1;

// Exits without a record: the failure has been reported already, or there is no reader any more.
[[noreturn]] void give_up() { sys::exit_group(127); }

// Init may not read the child's /proc files (they belong to the user that executed the launcher), so the child sends
// the descriptor itself.
Status say_waiting(const Context& context, Gate gate) {
  Record waiting{};
  waiting.kind = RecordKind::kWaiting;
  if (!gate.has_net) return sys::write(context.out, &waiting, sizeof waiting).status;
  NSJS_TRY_VALUE(net, sys::openat(context.proc.get(), "self/ns/net", O_RDONLY));
  const int fd = net.get();
  sys::Beside beside;
  beside.fds = &fd;
  beside.count = 1;
  return sys::send(context.out, &waiting, sizeof waiting, beside).status;
}

void require(const Context& context, Section section, const Status& status) {
  if (status.ok()) return;
  report(context, section, {context.plan.ops(section).count, status});
  give_up();
}

void wait_for_release(const Context& context) {
  char go = 0;
  const auto got = sys::read(context.out, &go, 1);
  if (!got.ok() || got.value != 1) give_up();
}

void run_section(Context& context, Section section) {
  const Failure failure = run(context, section);
  if (failure.status.ok()) return;
  report(context, section, failure);
  give_up();
}

[[noreturn]] void run_program(Context& context, Fd exec, Gate gate) {
  context.out = exec.release();
  run_section(context, kBeside);
  if (gate.waits) require(context, kBeside, say_waiting(context, gate));
  // Runs while init does its own work.
  if (!context.clean_signals) require(context, kProgram, sys::reset_signals());
  if (gate.waits) wait_for_release(context);
  run_section(context, kProgram);
  give_up();
}

Status fork_program(Context& context, Program& program, Gate gate) {
  int ends[2] = {-1, -1};
  NSJS_TRY(sys::socketpair(SOCK_SEQPACKET, ends));
  program.exec = Fd(ends[0]);
  NSJS_TRY_VALUE(child_end, move_high(Fd(ends[1])));

  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  NSJS_TRY_VALUE(pid, sys::clone3(args));
  if (pid == 0) run_program(context, std::move(child_end), gate);
  program.pid = static_cast<int>(pid);
  program.pidfd = Fd(pidfd);
  return {};
}

// The pid of a process in the host's /proc; 0 if it cannot be determined.
int host_pid(const Context& context, int pidfd) {
  static constexpr char kDirectory[] = "self/fdinfo/";
  static constexpr char kName[] = "\nPid:";
  char path[sizeof kDirectory + 12] = {};
  char digits[12];
  char* end = path;
  for (const char* part : {kDirectory, write_number(digits, pidfd)})
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

// Sends the files before the start is reported, and before the process is reaped. Files that cannot be read are left
// out; Node notices that they are missing.
void send_facts(Context& context, const Program& program) {
  const std::uint32_t before = context.program;
  context.program = program.id;
  const int pid = host_pid(context, program.pidfd.get());
  std::uint32_t step = 0;
  for (const char* name : {"status", "uid_map", "gid_map"})
    (void)send_file(context, kProgram, step++, ProcPath(pid, name).text + kProcPrefix);
  context.program = before;
}

// Node must receive the start of each program: if it cannot be reported, the sandbox ends. Only the owner of a pid
// namespace may send credentials of another process in it; without one the pid is the host's anyway.
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

// Returns false at EOF, or if no record is available now.
bool read_record(Context& context, Program& program, int flags, Record& record, sys::Received& received) {
  Status status = sys::receive(program.exec.get(), &record, sizeof record, flags, received);
  // ECONNRESET is returned once if the child was killed before it had read the release byte. Its records can still be
  // read.
  if (status.err == ECONNRESET) status = sys::receive(program.exec.get(), &record, sizeof record, flags, received);
  if (status.err == EAGAIN) return false;
  if (!status.ok()) sys::exit_group(1);  // if the result of the set-up is unknown, the sandbox ends
  if (received.size == static_cast<long>(sizeof record)) return true;
  program.exec.reset();
  if (program.started && !program.failed) send_started(context, program);
  return false;
}

constexpr char kGo = 'g';

void release(Program& program) {
  program.waiting = false;
  (void)sys::write(program.exec.get(), &kGo, 1);
}

void take_record(Context& context, Program& program, Record& record, sys::Received& received) {
  if (record.kind == RecordKind::kWaiting) {
    program.waiting = true;
    if (!context.paused) release(program);
    return;
  }
  if (record.kind == RecordKind::kStarted) {
    program.ready = record;
    program.started = true;
    return;
  }
  program.failed = program.failed || record.kind == RecordKind::kFailed;
  record.program = program.id;
  const int fd = received.count > 0 ? received.fds[0].get() : -1;
  sys::Beside beside;
  beside.fds = &fd;
  beside.count = fd >= 0 ? 1 : 0;
  if (!sys::send(context.out, &record, sizeof record, beside).ok()) sys::exit_group(1);
  received = {};
}

}  // namespace

Status start_program(Context& context, Gate gate) {
  gate.waits = gate.waits || context.paused;
  Program* program = g_programs.add(context.program);
  if (program == nullptr) return {EAGAIN, __NR_clone3};
  program->last = gate.last;
  program->clock = std::move(context.clock);
  context.clock = {};
  const Status status = fork_program(context, *program, gate);
  if (!status.ok()) g_programs.remove(program);
  return status;
}

Status release_program(Context& context) {
  Program* program = g_programs[0];
  Record record{};
  sys::Received received;
  while (program->exec.is_open() && read_record(context, *program, 0, record, received)) {
    if (record.kind != RecordKind::kWaiting) {
      take_record(context, *program, record, received);
      continue;
    }
    if (received.count > 0) NSJS_TRY(sys::setns(received.fds[0].get(), CLONE_NEWNET));
    if (sys::write(program->exec.get(), &kGo, 1).ok()) return {};
    break;
  }
  sys::exit_group(1);  // the child has reported its failure, or was killed
}

void release_all() {
  for (unsigned index = 0; index < g_programs.end(); ++index)
    if (g_programs[index] != nullptr && g_programs[index]->waiting) release(*g_programs[index]);
}

void read_exec_channel(Context& context, Program& program) {
  Record record{};
  sys::Received received;
  while (program.exec.is_open() && read_record(context, program, MSG_DONTWAIT, record, received))
    take_record(context, program, record, received);
}

}  // namespace nsjs
