#include "init.h"

#include "../sys/cred.h"
#include "../sys/process.h"
#include "../sys/socket.h"
#include "map.h"
#include "path.h"
#include "programs.h"
#include "reap.h"
#include "run.h"

namespace nsjs {
namespace {

constexpr std::uint64_t kChildSignal = 1ull << (SIGCHLD - 1);

// In the order of NamespaceId.
constexpr const char* kNamespaceFiles[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time_for_children"};

Result<Fd> open_namespaces(const Context& context) { return sys::openat(context.proc.get(), "self/ns", O_PATH | O_DIRECTORY); }

[[noreturn]] void fail(const Context& context, const Failure& failure) {
  report(context, kInside, failure);
  sys::exit_group(1);
}

// Runs while a program's child still works, so it costs no time. pid_for_children is not used: it cannot be read before
// there is a child.
void read_namespace_ids(Context& context) {
  const auto directory = open_namespaces(context);
  for (unsigned index = 0; index < kNamespaces; ++index)
    context.id[index] = sys::inode(directory.value.get(), kNamespaceFiles[index]).value;
}

// Sends a descriptor of each namespace to Node. There is no other way to them, since no process may read init's /proc
// files.
Status send_opened(const Context& context) {
  Record record{};
  record.kind = RecordKind::kOpened;
  Fd opened[kNamespaces];
  int fds[kNamespaces];
  NSJS_TRY_VALUE(directory, open_namespaces(context));
  for (unsigned index = 0; index < kNamespaces; ++index) {
    NSJS_TRY_VALUE(ns, sys::openat(directory.get(), kNamespaceFiles[index], O_RDONLY));
    opened[index] = std::move(ns);
    fds[index] = opened[index].get();
    record.id[index] = context.id[index];
  }
  sys::Beside beside;
  beside.fds = fds;
  beside.count = kNamespaces;
  return sys::send(context.out, &record, sizeof record, beside).status;
}

void send_exited(Context& context, const Program& program, const siginfo_t& info, const struct rusage& usage) {
  Record record{};
  record.kind = RecordKind::kExited;
  record.program = program.id;
  record.code = info.si_code;
  record.status = info.si_status;
  record.cause = program.clock.cause();
  tell_usage(record, usage);
  if (!sys::write(context.out, &record, sizeof record).ok()) sys::exit_group(1);
}

// Reaps processes that have ended. Returns true when the sandbox must end: its only program has ended, or waiting has
// failed.
bool reap(Context& context, bool serves) {
  for (;;) {
    siginfo_t info{};
    struct rusage usage {};
    Status status = sys::waitid(sys::kAllChildren, 0, &info, WEXITED | WNOHANG | WNOWAIT | kWaitAll, nullptr);
    if (!status.ok()) return !serves || status.err != 10;  // ECHILD
    if (info.si_pid == 0) return false;
    Program* program = g_programs.find([&info](const Program& one) { return one.pid == info.si_pid; });
    // Read before the process is reaped: its start is reported with its pid, which the kernel must still know.
    if (program != nullptr) read_exec_channel(context, *program);
    status = sys::waitid(sys::kOneChild, info.si_pid, &info, WEXITED | kWaitAll, &usage);
    if (!status.ok()) return true;
    if (program == nullptr) continue;
    if (serves || (program->started && !program->failed)) send_exited(context, *program, info, usage);
    if (!serves || program->last) return true;
    // Kills the processes that it left in its own cgroup.
    program->clock.kill_group();
    g_programs.remove(program);
  }
}

// Runs the `inside` section of a further plan, which starts its program. A failure concerns only that program.
void spawn(Context& context, std::uint32_t id, sys::Received& received) {
  const Plan sandbox = context.plan;
  context.program = id;
  context.clock = Clock();
  Failure failure{0, received.count > 0 ? map_plan(received.fds[0].get(), context.plan) : Status{22, __NR_recvmsg}};
  if (failure.status.ok()) {
    for (unsigned slot = 0; slot + 1 < received.count && failure.status.ok(); ++slot) {
      auto high = move_high(std::move(received.fds[slot + 1]));
      context.slots[slot].fd = std::move(high.value);
      failure.status = high.status;
    }
    if (failure.status.ok()) failure = run(context, kInside);
    unmap_plan(context.plan);
  }
  context.plan = sandbox;
  context.close_slots(false);
  if (failure.status.ok()) return;
  report(context, kInside, failure);
}

// Used if no cgroup can be frozen. A program that is started in a paused sandbox waits before its `program` section.
void pause(Context& context, bool on) {
  context.paused = on;
  (void)sys::raw(__NR_kill, -1, on ? SIGSTOP : SIGCONT);  // every process of this pid namespace but init
  if (!on) release_all();
}

// Handles one request. Returns true when Node has closed the channel.
bool obey(Context& context) {
  Request request{};
  sys::Received received;
  if (!sys::receive(context.out, &request, sizeof request, 0, received).ok() || received.size <= 0) return true;
  if (received.size != static_cast<long>(sizeof request)) return false;
  if (request.command == Command::kSpawn) spawn(context, request.program, received);
  if (request.command == Command::kPause && context.owns_pids) pause(context, request.value != 0);
  if (request.command != Command::kSignal) return false;
  if (request.program == kEveryone) {
    if (context.owns_pids) (void)sys::raw(__NR_kill, -1, request.value);  // every process of the pid namespace but init
    return false;
  }
  const Program* program = g_programs.find([&request](const Program& one) { return one.id == request.program; });
  if (program != nullptr) (void)sys::pidfd_send_signal(program->pidfd.get(), static_cast<int>(request.value));
  return false;
}

// Kills the programs that have exceeded a limit of time. Returns the time in ms until the next check, -1 for never.
long ring_clocks() {
  long wait = -1;
  for (unsigned index = 0; index < g_programs.end(); ++index) {
    Program* program = g_programs[index];
    if (program == nullptr) continue;
    if (program->clock.is_over()) {
      program->clock.kill_group();
      // The process may not have entered its cgroup yet.
      (void)sys::pidfd_send_signal(program->pidfd.get(), SIGKILL);
    }
    const long own = program->clock.wait();
    if (own >= 0 && (wait < 0 || own < wait)) wait = own;
  }
  return wait;
}

constexpr unsigned kOwnPolls = 3;

// Serves until the only program has ended, or the keeper or Node is gone. Signals only wake it up and are not trusted:
// programs can forge them.
void serve(Context& context, const Fd& signals, bool serves) {
  for (;;) {
    pollfd fds[kOwnPolls + kMaxPrograms] = {{signals.get(), POLLIN, 0}, {context.out, POLLIN, 0}, {context.go.get(), POLLIN, 0}};
    const unsigned programs = g_programs.end();
    for (unsigned index = 0; index < programs; ++index)
      fds[kOwnPolls + index] = {g_programs[index] != nullptr ? g_programs[index]->exec.get() : -1, POLLIN, 0};
    if (!sys::ppoll(fds, kOwnPolls + programs, ring_clocks()).ok()) return;
    for (unsigned index = 0; index < programs; ++index)
      if (fds[kOwnPolls + index].revents != 0) read_exec_channel(context, *g_programs[index]);
    if (fds[0].revents != 0) {
      unsigned char drained[128 * 4];
      (void)sys::read(signals.get(), drained, sizeof drained);
      if (reap(context, serves)) return;
    }
    if (fds[2].revents != 0 || (fds[1].revents != 0 && obey(context))) return;
  }
}

// The id maps are written when the keeper sends `go`; EOF means that the keeper has died.
void wait_for_go(Context& context) {
  char go = 0;
  const auto got = sys::read(context.go.get(), &go, 1);
  if (!got.ok() || got.value != 1) sys::exit_group(1);
}

// Ends this process if any step fails: a sandbox that is not fully set up is never used.
Fd set_up(Context& context) {
  auto proc = sys::openat(context.base(context.proc_slot), context.proc_slot == kNoSlot ? "/proc" : ".", O_PATH | O_DIRECTORY);
  if (!proc.ok()) fail(context, {context.plan.ops(kInside).count, proc.status});
  context.proc = std::move(proc.value);
  if (const Failure failure = run(context, kInside); !failure.status.ok()) fail(context, failure);
  auto signals = sys::signalfd(kChildSignal, O_CLOEXEC | O_NONBLOCK);
  if (!signals.ok()) fail(context, {context.plan.ops(kInside).count, signals.status});
  return std::move(signals.value);
}

}  // namespace

[[noreturn]] void init(Context& context) {
  context.out = kInitFd;
  for (Slot& slot : context.slots) slot.held = false;  // only the keeper holds them
  context.clock = {};
  context.oom.reset();
  context.oom_control.reset();
  (void)sys::raw(__NR_close, kControlFd);
  (void)sys::raw(__NR_close, kNodeFd);
  if (!context.owns_pids && !sys::prctl(PR_SET_CHILD_SUBREAPER, 1).ok()) sys::exit_group(1);
  wait_for_go(context);

  const Fd signals = set_up(context);
  const bool serves = g_programs.end() == 0;
  context.close_slots(!serves);
  read_namespace_ids(context);
  if (serves) {
    context.clean_signals = sys::reset_signals().ok();
    if (const Status status = send_opened(context); !status.ok()) fail(context, {context.plan.ops(kInside).count, status});
  }
  serve(context, signals, serves);
  if (!context.owns_pids) kill_descendants(context.proc.get(), "", "thread-self/children");
  sys::exit_group(0);
}

}  // namespace nsjs
