#include "init.h"

#include "../sys/cred.h"
#include "../sys/process.h"
#include "../sys/socket.h"
#include "reap.h"

namespace nsjs {
namespace {

constexpr int kAllChildren = 0;  // P_ALL
constexpr int kTryAgain = 11;    // EAGAIN
constexpr std::uint64_t kChildSignal = 1ull << (SIGCHLD - 1);

struct Program {
  int pid = 0;
  Fd pidfd;
  Fd exec;  // read end; its end of file after kStarted means that exec has happened
  Record ready{};
  bool started = false;
  bool failed = false;
};

[[noreturn]] void fail(Context& context, Section section, const Failure& failure) {
  report(context.out, section, failure);
  sys::exit_group(1);
}

[[noreturn]] void run_program(Context& context, Fd exec) {
  context.out = exec.release();
  const Failure failure = run(context, kProgram);
  report(context.out, kProgram, failure);
  sys::exit_group(127);
}

// exec pipe end above every number that Dup may place
Result<Fd> move_high(Fd fd) {
  const auto moved = sys::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstFd);
  return {Fd(static_cast<int>(moved.value)), moved.status};
}

Status start_program(Context& context, Program& program) {
  int ends[2] = {-1, -1};
  NSJS_TRY(sys::pipe2(ends, O_NONBLOCK));
  program.exec = Fd(ends[0]);
  NSJS_TRY_VALUE(child_end, move_high(Fd(ends[1])));

  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  NSJS_TRY_VALUE(pid, sys::clone3(args));
  if (pid == 0) run_program(context, std::move(child_end));
  program.pid = static_cast<int>(pid);
  program.pidfd = Fd(pidfd);
  return {};
}

// In the order of NamespaceId. Read while the program's child is still at work, so it costs no time.
void read_namespace_ids(Context& context) {
  static constexpr const char* kNames[] = {"self/ns/user", "self/ns/mnt", "self/ns/pid",    "self/ns/net",
                                           "self/ns/ipc",  "self/ns/uts", "self/ns/cgroup", "self/ns/time_for_children"};
  for (unsigned index = 0; index < kNamespaces; ++index) context.id[index] = sys::inode(context.proc.get(), kNames[index]).value;
}

// Only who owns the pid namespace may speak for another process in it; elsewhere the number is the host's anyway.
void send_started(Context& context, Program& program) {
  Record record = program.ready;
  record.kind = RecordKind::kStarted;
  record.status = program.pid;
  for (unsigned index = 0; index < kNamespaces; ++index)
    if (record.id[index] == 0) record.id[index] = context.id[index];
  (void)sys::send(context.out, &record, sizeof record, context.owns_pids ? program.pid : 0);
}

// Passes on what the program's child says; at the end of the pipe the program runs, has failed, or died without a word.
void read_exec_pipe(Context& context, Program& program) {
  for (;;) {
    Record record{};
    const auto got = sys::read(program.exec.get(), &record, sizeof record);
    if (got.status.err == kTryAgain) return;
    if (!got.ok()) sys::exit_group(1);  // not to know how the set-up went ends the sandbox
    if (got.value != static_cast<long>(sizeof record)) break;
    if (record.kind == RecordKind::kStarted) {
      program.ready = record;
      program.started = true;
      continue;
    }
    program.failed = program.failed || record.kind == RecordKind::kFailed;
    (void)sys::write(context.out, &record, sizeof record);
  }
  program.exec.reset();
  if (program.started && !program.failed) send_started(context, program);
}

void send_exited(Context& context, const siginfo_t& info, const struct rusage& usage) {
  Record record{};
  record.kind = RecordKind::kExited;
  record.code = info.si_code;
  record.status = info.si_status;
  record.user_us = sys::microseconds(usage.ru_utime);
  record.system_us = sys::microseconds(usage.ru_stime);
  record.max_rss_kb = static_cast<std::uint64_t>(usage.ru_maxrss);
  (void)sys::write(context.out, &record, sizeof record);
}

// Reaps what has ended. True when the program itself has, or when there is no way to know.
bool reap(Context& context, Program& program) {
  for (;;) {
    siginfo_t info{};
    struct rusage usage {};
    if (!sys::waitid(kAllChildren, 0, &info, WEXITED | WNOHANG | kWaitAll, &usage).ok()) return true;
    if (info.si_pid == 0) return false;
    if (info.si_pid != program.pid) continue;
    if (program.exec.is_open()) read_exec_pipe(context, program);
    if (program.started && !program.failed) send_exited(context, info, usage);
    return true;
  }
}

// True when Node closed the channel.
bool obey(Context& context, const Program& program) {
  Command command[2] = {};
  const auto got = sys::read(context.out, command, sizeof command);
  if (!got.ok() || got.value <= 0) return true;
  if (command[0] == Command::kSignal && got.value == 2) (void)sys::pidfd_send_signal(program.pidfd.get(), static_cast<int>(command[1]));
  return false;
}

// Serves until the program has ended, the keeper is gone or Node is. Signals only wake it: they can be forged from inside.
void serve(Context& context, Program& program, const Fd& signals) {
  for (;;) {
    pollfd fds[] = {{signals.get(), POLLIN, 0},
                    {context.out, POLLIN, 0},
                    {context.go.get(), POLLIN, 0},
                    {program.exec.is_open() ? program.exec.get() : -1, POLLIN, 0}};
    if (!sys::ppoll(fds, 4, -1).ok()) return;
    if (fds[3].revents != 0) read_exec_pipe(context, program);
    if (fds[0].revents != 0) {
      unsigned char drained[128 * 4];
      (void)sys::read(signals.get(), drained, sizeof drained);
      if (reap(context, program)) return;
    }
    if (fds[2].revents != 0 || (fds[1].revents != 0 && obey(context, program))) return;
  }
}

// The maps are written when the keeper says `go`; its silence is its death.
void wait_for_go(Context& context) {
  char go = 0;
  const auto got = sys::read(context.go.get(), &go, 1);
  if (!got.ok() || got.value != 1) sys::exit_group(1);
}

}  // namespace

[[noreturn]] void init(Context& context) {
  context.out = kInitFd;
  (void)sys::raw(__NR_close, kControlFd);
  (void)sys::raw(__NR_close, kNodeFd);
  if (!context.owns_pids && !sys::prctl(PR_SET_CHILD_SUBREAPER, 1).ok()) sys::exit_group(1);
  wait_for_go(context);

  auto proc = sys::openat(sys::kCwd, "/proc", O_PATH | O_DIRECTORY);
  if (!proc.ok()) fail(context, kInside, {context.plan.ops(kInside).count, proc.status});
  context.proc = std::move(proc.value);
  if (const Failure failure = run(context, kInside); !failure.status.ok()) fail(context, kInside, failure);

  auto signals = sys::signalfd(kChildSignal, O_CLOEXEC | O_NONBLOCK);
  Program program;
  if (!signals.ok()) fail(context, kInside, {context.plan.ops(kInside).count, signals.status});
  if (const Status status = start_program(context, program); !status.ok())
    fail(context, kInside, {context.plan.ops(kInside).count, status});
  context.close_slots(true);
  read_namespace_ids(context);
  serve(context, program, signals.value);
  if (!context.owns_pids) kill_descendants(context.proc.get(), "thread-self/children");
  sys::exit_group(0);
}

}  // namespace nsjs
