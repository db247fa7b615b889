#include "programs.h"

#include "../sys/cred.h"
#include "../sys/process.h"
#include "../sys/socket.h"
#include "context.h"
#include "path.h"
#include "reap.h"
#include "run.h"
#include "started.h"

namespace nsjs {

constinit Programs g_programs;

namespace {

constexpr int kTryAgain = 11;    // EAGAIN
constexpr int kAllChildren = 0;  // P_ALL
constexpr int kOneChild = 1;     // P_PID

// Nothing to say: what kept the set-up from going on is known already, or nobody is left who wants to know.
[[noreturn]] void give_up() { sys::exit_group(127); }

// Init may not look into the child's /proc files (they belong to whom the launcher was executed by), so the child hands over.
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
  // While init has its own to do.
  if (!context.clean_signals) require(context, kProgram, sys::reset_signals());
  if (gate.waits) wait_for_release(context);
  run_section(context, kProgram);
  give_up();
}

// The clone of this process that becomes the program.
Result<long> clone_program(Context& context, Fd& child_end, Gate gate, int& pidfd) {
  clone_args args{};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const auto pid = sys::clone3(args);
  if (pid.ok() && pid.value == 0) run_program(context, std::move(child_end), gate);
  return pid;
}

// What the minder tells init: the program's number, with its pidfd beside it, or why there is none.
struct Birth {
  Status status;
  int pid = 0;
};

// Orphans of the program become children of this process, by which they are found. It leaves the program for init to wait for.
[[noreturn]] void mind(Context& context, Fd& child_end, Gate gate, int to_init) {
  int pidfd = -1;
  Birth birth{sys::prctl(PR_SET_CHILD_SUBREAPER, 1), 0};
  if (birth.status.ok()) {
    const auto pid = clone_program(context, child_end, gate, pidfd);
    birth = {pid.status, static_cast<int>(pid.value)};
  }
  sys::Beside beside;
  beside.fds = &pidfd;
  beside.count = pidfd >= 0 ? 1 : 0;
  if (!sys::send(to_init, &birth, sizeof birth, beside).ok() || !birth.status.ok()) give_up();
  (void)sys::raw(__NR_close_range, 0, ~0u, 0);
  for (;;) {
    siginfo_t info{};
    if (!sys::waitid(kAllChildren, 0, &info, WEXITED | WNOWAIT | kWaitAll, nullptr).ok() || info.si_pid == birth.pid) give_up();
    (void)sys::waitid(kOneChild, info.si_pid, &info, WEXITED | kWaitAll, nullptr);
  }
}

Status fork_minder(Context& context, Program& program, Fd& child_end, Gate gate) {
  int ends[2] = {-1, -1};
  NSJS_TRY(sys::socketpair(SOCK_SEQPACKET, ends));
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  clone_args args{};
  args.exit_signal = SIGCHLD;
  NSJS_TRY_VALUE(minder, sys::clone3(args));
  if (minder == 0) mind(context, child_end, gate, theirs.get());
  theirs.reset();
  program.minder = static_cast<int>(minder);
  Birth birth;
  sys::Received received;
  NSJS_TRY(sys::receive(ours.get(), &birth, sizeof birth, 0, received));
  if (received.size != static_cast<long>(sizeof birth)) return {kTryAgain, __NR_clone3};
  NSJS_TRY(birth.status);
  program.pid = birth.pid;
  program.pidfd = std::move(received.fds[0]);
  return {};
}

Status fork_program(Context& context, Program& program, Gate gate) {
  int ends[2] = {-1, -1};
  NSJS_TRY(sys::socketpair(SOCK_SEQPACKET, ends));
  program.exec = Fd(ends[0]);
  NSJS_TRY_VALUE(child_end, move_high(Fd(ends[1])));
  if (gate.minded) return fork_minder(context, program, child_end, gate);
  int pidfd = -1;
  NSJS_TRY_VALUE(pid, clone_program(context, child_end, gate, pidfd));
  program.pid = static_cast<int>(pid);
  program.pidfd = Fd(pidfd);
  return {};
}

// False at the end of the channel, or when nothing more can be read now.
bool read_record(Context& context, Program& program, int flags, Record& record, sys::Received& received) {
  const Status status = sys::receive(program.exec.get(), &record, sizeof record, flags, received);
  if (status.err == kTryAgain) return false;
  if (!status.ok()) sys::exit_group(1);  // not to know how the set-up went ends the sandbox
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
  if (program == nullptr) return {kTryAgain, __NR_clone3};
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
  sys::exit_group(1);  // the child has said why, or died without a word
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
