#include "keeper.h"

#include "../sys/cred.h"
#include "../sys/process.h"
#include "reap.h"

namespace nsjs {
namespace {

// Ends the sandbox. Killing init kills its pid namespace. Without one, its descendants are reparented to the keeper,
// their subreaper, which kills them once init is gone. Init gets no request, since the program may have stopped it.
void end_sandbox(Context& context) {
  (void)run_all(context, kEnd);
  (void)sys::pidfd_send_signal(context.init.get(), SIGKILL);
  context.go.reset();
  // A process in uninterruptible sleep dies later, if ever. With this record Node can look for such processes.
  Record ending{};
  ending.kind = RecordKind::kEnding;
  (void)sys::write(kControlFd, &ending, sizeof ending);
}

// True when the sandbox must end: Node has requested it, has closed its end of the channel, or has died.
bool must_end(Context& context, const pollfd& control, const pollfd& node) {
  if (node.revents != 0 || (control.revents & (POLLHUP | POLLERR)) != 0) return true;
  if ((control.revents & POLLIN) == 0) return false;
  Request request{};
  const auto got = sys::read(kControlFd, &request, sizeof request);
  if (!got.ok() || got.value <= 0 || request.command == Command::kKill) return true;
  if (request.command == Command::kClock) context.clock.start();
  return false;
}

// Exit status if the last record could not be sent; others are in main.cc.
constexpr int kUntold = 122;

// Number of OOM kills in the cgroup: the last number in memory.oom_control.
unsigned long oom_kills(const Context& context) {
  char text[128] = {};
  (void)sys::raw(__NR_pread64, context.oom_control.get(), sys::as_arg(text), sizeof text - 1, 0);
  unsigned long kills = 0;
  for (const char* at = text; *at != 0; ++at) {
    if (*at == ' ') kills = 0;
    if (*at >= '0' && *at <= '9') kills = kills * 10 + static_cast<unsigned long>(*at - '0');
  }
  return kills;
}

// The event arrives before the kill, and also when an ancestor cgroup runs out of memory, so it only triggers checks of
// the kill count: this many, with this pause.
constexpr unsigned kOomLooks = 200;
constexpr long kOomPauseMs = 5;

// Opens the files of the `after` section while the keeper is idle: at the end the caller waits for them. A file that
// cannot be opened now is tried again then.
void open_last_words(Context& context) {
  const Ops after = context.plan.ops(kAfter);
  for (std::uint32_t step = 0; step < after.count && step < kMaxLastWords; ++step)
    if (after.first[step].code == OpCode::ReadFile)
      context.last_words[step] = sys::openat(sys::kCwd, context.plan.text(after.first[step].arg[0]).data, O_RDONLY).value;
}

// Returns when init is gone. Watches the pidfd of Node as well as the channel: another process may hold the channel
// open after Node has died.
void watch(Context& context) {
  pollfd fds[] = {{context.init.get(), POLLIN, 0}, {kControlFd, POLLIN, 0}, {kNodeFd, POLLIN, 0}, {context.oom.get(), POLLIN, 0}};
  constexpr unsigned kAll = 4;
  unsigned count = kAll;
  unsigned looks = 0;
  for (;;) {
    const long wait = looks > 0 ? kOomPauseMs : context.clock.wait();
    if (!sys::ppoll(fds, count, count == kAll ? wait : -1).ok()) {
      // After a failure of ppoll(2) the old events are meaningless: end the sandbox and wait for init only.
      end_sandbox(context);
      count = 1;
      continue;
    }
    if (fds[0].revents != 0) return;
    if (count != kAll) continue;
    if (fds[3].revents != 0) {
      std::uint64_t events = 0;
      (void)sys::read(context.oom.get(), &events, sizeof events);
      looks = kOomLooks;
    }
    if (looks > 0) {
      --looks;
      context.out_of_memory = oom_kills(context) > 0;
    }
    if (must_end(context, fds[1], fds[2]) || context.clock.is_over() || context.out_of_memory) {
      end_sandbox(context);
      count = 1;
    }
  }
}

[[noreturn]] void finish(Context& context, const struct rusage& usage) {
  Record ended{};
  ended.kind = RecordKind::kEnded;
  if (const Failure failure = run_all(context, kAfter); !failure.status.ok()) {
    ended.step = failure.step;
    ended.err = failure.status.err;
    ended.nr = failure.status.nr;
  }
  ended.section = kAfter;
  ended.cause = context.out_of_memory ? Cause::kMemory : context.clock.cause();
  tell_usage(ended, usage);
  const bool told = tell_last(ended, nullptr, 0).ok() && send_last().ok();
  sys::exit_group(told ? 0 : kUntold);
}

}  // namespace

[[noreturn]] void keep(Context& context) {
  // A process group of its own, so that signals from a terminal or shell to Node's group do not reach the keeper. A
  // session of its own would cost as much as ten mounts (the scheduler creates a task group for it) and has no benefit:
  // the keeper's signals are blocked.
  (void)sys::setpgid();
  const Failure failure = run(context, kHost);
  if (!failure.status.ok()) report(context, kHost, failure);

  struct rusage usage {};
  if (context.init.is_open()) {
    static constexpr char kGo = 'g';
    if (!failure.status.ok() || !sys::write(context.go.get(), &kGo, 1).ok()) end_sandbox(context);
    (void)sys::raw(__NR_close, kInitFd);
    (void)sys::raw(__NR_close, kPlanFd);
    context.close_slots(false);
    open_last_words(context);
    watch(context);
    siginfo_t info{};
    (void)sys::waitid(sys::kPidfdType, context.init.get(), &info, WEXITED | kWaitAll, &usage);
    if (!context.owns_pids) kill_descendants(sys::kCwd, "/proc/", "/proc/thread-self/children");
  }
  finish(context, usage);
}

}  // namespace nsjs
