#include "spawn.h"

#include <sched.h>
#include <cerrno>

#include "../sys/process.h"
#include "stack.h"

namespace nsjs {
namespace {

static_assert(kMaxPassedFds + 5 <= sys::kMaxFdsBeside);

constexpr unsigned kUnshare = 2;  // CLOSE_RANGE_UNSHARE

struct Child {
  const Door* door;
  unsigned count;  // number of descriptors in the message
  Status status;   // the child writes, the parent reads after the child has exited or executed
};

// DANGER: shares Node's memory, and its descriptors until close_range. Raw system calls only; no malloc, no lock, no
// errno, no credentials.
Status run_child(Child& child) {
  const int door = child.door->inside();
  NSJS_TRY(sys::close_range(static_cast<unsigned>(door) + 1, ~0u, kUnshare));
  char word = 0;
  sys::Received received;
  NSJS_TRY(sys::receive(door, &word, sizeof word, 0, received));
  // Above every final number, but not higher than needed: RLIMIT_NOFILE may be low.
  const int staging = kFirstFd + static_cast<int>(received.count);
  int staged[sys::kMaxFdsBeside] = {};
  for (unsigned index = 0; index < received.count; ++index) {
    NSJS_TRY_VALUE(fd, sys::fcntl(received.fds[index].get(), F_DUPFD_CLOEXEC, staging));
    staged[index] = static_cast<int>(fd);
  }
  // The last one is the launcher.
  if (received.count != child.count) return {EBADF, __NR_recvmsg};
  const unsigned passed = received.count - 1;
  for (unsigned index = 0; index < passed; ++index) NSJS_TRY(sys::dup3(staged[index], kFirstFd + static_cast<int>(index), 0));
  static char name[] = "nsjs";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  child.status = {};
  return sys::to_status(__NR_execveat,
                        sys::raw(__NR_execveat, staged[passed], sys::as_arg(""), sys::as_arg(argv), sys::as_arg(envp), 0x1000));
}

int child_main(void* argument) {
  auto* child = static_cast<Child*>(argument);
  child->status = run_child(*child);
  sys::exit_group(127);
}

Status send_in(const Door& door, int image, const Passed& passed) {
  int fds[sys::kMaxFdsBeside];
  for (unsigned index = 0; index < passed.count; ++index) fds[index] = passed.fds[index];
  fds[passed.count] = image;
  sys::Beside beside;
  beside.fds = fds;
  beside.count = passed.count + 1;
  static constexpr char kWord = 'g';
  return sys::send(door.outside(), &kWord, 1, beside).status;
}

Result<Keeper> start(const Door& door, unsigned count) {
  Result<Keeper> result;
  const Stack stack;
  if (!stack.ok()) {
    result.status = {ENOMEM, __NR_mmap};
    return result;
  }
  Child child{&door, count, {ECANCELED, __NR_clone}};
  int pidfd = -1;
  int pid = -1;
  {
    const BlockedSignals blocked;
    pid = clone(child_main, stack.top(), CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD | SIGCHLD, &child, &pidfd);
  }
  if (pid < 0) {
    result.status = {errno, __NR_clone};
    return result;
  }
  result.value.pid = pid;
  result.value.pidfd = Fd(pidfd);
  if (!child.status.ok()) {
    siginfo_t info{};
    (void)sys::waitid(sys::kPidfdType, pidfd, &info, WEXITED, nullptr);
    result.status = child.status;
  }
  return result;
}

}  // namespace

Status Door::open() {
  if (inside() >= 0) return {};
  int ends[2] = {-1, -1};
  NSJS_TRY(sys::socketpair(SOCK_SEQPACKET, ends));
  for (unsigned end = 0; end < 2; ++end) ends_[end] = Fd(ends[end]);
  return {};
}

void Door::clear() {
  char word = 0;
  for (;;) {
    sys::Received received;
    const Status status = sys::receive(inside(), &word, sizeof word, MSG_DONTWAIT, received);
    if (status.err == EAGAIN) return;
    if (status.ok() && received.size > 0) continue;
    for (Fd& end : ends_) end.reset();
    return;
  }
}

Result<Keeper> spawn_keeper(Door& door, int image, const Passed& passed) {
  Result<Keeper> result;
  result.status = door.open();
  if (result.status.ok()) result.status = send_in(door, image, passed);
  if (result.status.ok()) result = start(door, passed.count + 1);
  if (!result.status.ok()) door.clear();
  return result;
}

}  // namespace nsjs
